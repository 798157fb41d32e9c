"""From the bytes of a request to a checked attempt, or to the problem that says what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import UNSET

from app.api.decoding import Decoder
from app.api.pan import has_many_digits, looks_like_pan, redact
from app.api.problem import Invalid, Malformed
from app.api.wire import Attempt, FieldProblem, Label, Outcome, StandIn, as_datetime
from app.ids import locate
from app.tracing import Trace

__all__ = [
    "read_attempt",
    "read_deadline_ms",
    "read_label",
    "read_outcome",
    "read_retry",
    "read_stand_in",
    "read_trace",
]

T = TypeVar("T")

# Under 20 ms a caller could choose a weaker rung for himself.
LARGE_NUMBER = 1e12  # the shortest card number has 13 digits
DEADLINE_MS_MIN, DEADLINE_MS_MAX = 20, 100

_attempt = Decoder(Attempt)
_outcome = Decoder(Outcome)
_label = Decoder(Label)
_stand_in = Decoder(StandIn)
_encoder = msgspec.json.Encoder()
# How msgspec says where and what. A member of a mapping is `[...]` there, or a `key`.
_PLACE = re.compile(
    r"(?P<problem>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>[^`]*?)(?:\[\.\.\.\])?`)?", re.DOTALL
)
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_NAMED = re.compile(r"Object .* (?P<kind>required|unknown) field `(?P<name>.*)`", re.DOTALL)


def read_attempt(body: bytes) -> tuple[Attempt, bytes]:
    """Decode and check one attempt.

    Args:
        body: the request body.

    Returns:
        The attempt, and its canonical bytes: the same for bodies that differ in white space or in
        the order of fields only. Card numbers in free text are redacted in both.

    Raises:
        Malformed: not JSON, not UTF-8, or a key twice in one object.
        Invalid: the wrong shape; names the field.
    """
    return _checked(*_decoded(body, _attempt))


def read_stand_in(body: bytes) -> tuple[StandIn, bytes]:
    """Decode and check what a client decided by itself; see `read_attempt`.

    Returns:
        The stand-in, and the canonical bytes of its attempt.
    """
    stand_in, _ = _decoded(body, _stand_in)
    problems = list(_time_problems(("decided_at", stand_in.decided_at)))
    if problems:
        raise Invalid(*problems)
    attempt, canonical = _checked(stand_in.attempt, _encoder.encode(stand_in.attempt))
    return msgspec.structs.replace(stand_in, attempt=attempt), canonical


def read_outcome(body: bytes) -> tuple[Outcome, bytes]:
    """Decode and check one outcome; see `read_attempt`."""
    outcome, canonical = _decoded(body, _outcome)
    _check_follow_up(
        outcome,
        identities=[("outcome_id", outcome.outcome_id), ("issuer_code", outcome.issuer_code)],
        times=[("occurred_at", outcome.occurred_at)],
    )
    return outcome, canonical


def read_label(body: bytes) -> tuple[Label, bytes]:
    """Decode and check one label; see `read_attempt`."""
    label, canonical = _decoded(body, _label)
    _check_follow_up(
        label,
        identities=[("label_id", label.label_id), ("reason_code", label.reason_code)],
        times=[("event_at", label.event_at), ("arrived_at", label.arrived_at)],
    )
    return label, canonical


def read_deadline_ms(header: bytes | None) -> int | None:
    """The deadline the caller asks for, milliseconds; None when it asks for none."""
    if header is None:
        return None
    text = header.decode("latin-1").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise Malformed("X-Deadline-Ms must be a whole number of milliseconds.")
    asked = int(text)
    if not DEADLINE_MS_MIN <= asked <= DEADLINE_MS_MAX:
        raise Malformed(f"X-Deadline-Ms must lie between {DEADLINE_MS_MIN} and {DEADLINE_MS_MAX}.")
    return asked


def read_retry(header: bytes | None) -> int:
    """How often the caller tried before."""
    if header is None:
        return 0
    text = header.decode("latin-1").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise Malformed("X-Attempt-Retry must be a whole number.")
    return int(text)


def read_trace(header: bytes | None) -> Trace | None:
    """The trace an attempt belongs to; None where there is none, or none that can be read.

    Source: W3C Trace Context. A header that is not one is as good as none, and never an error.
    """
    match = None if header is None else _TRACEPARENT.fullmatch(header.strip())
    if match is None or not match[1].strip(b"0") or not match[2].strip(b"0"):
        return None
    return Trace(match[1].decode("ascii"), match[2].decode("ascii"))


def _checked(attempt: Attempt, canonical: bytes) -> tuple[Attempt, bytes]:
    # Most bodies hold nowhere as many digits as a card number has; one search tells.
    suspicious = has_many_digits(canonical) or _has_large_number(attempt)
    # A number that is none, or has no end, counts as a large one: see `_has_large_number`.
    if not suspicious and _times_exist(attempt):
        return attempt, canonical
    problems = [
        *(_pan_problems(_identities(attempt)) if suspicious else ()),
        *_time_problems(
            ("occurred_at", attempt.occurred_at),
            ("customer.account_created_at", attempt.customer.account_created_at),
        ),
        *_number_problems(attempt),
    ]
    if problems:
        raise Invalid(*problems)
    redacted = _redacted(attempt) if suspicious else attempt
    if redacted is not attempt:
        return redacted, _encoder.encode(redacted)
    return attempt, canonical


def _decoded(body: bytes, decoder: Decoder[T]) -> tuple[T, bytes]:
    """What a body says, and its canonical bytes."""
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        _raise_invalid(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON in UTF-8: {error}.") from None
    canonical = _encoder.encode(value)
    _refuse_duplicate_keys(body, canonical)
    return value, canonical


def _check_follow_up(
    event: Outcome | Label,
    *,
    identities: Sequence[tuple[str, object]],
    times: Sequence[tuple[str, object]],
) -> None:
    problems = [
        *_pan_problems([*identities, ("attempt_id", event.attempt_id)]),
        *_time_problems(*times),
    ]
    if event.attempt_id is UNSET and event.decision_id is UNSET:
        problems.append(FieldProblem(field="decision_id", problem="or attempt_id is required"))
    if event.decision_id is not UNSET:
        try:
            locate(event.decision_id)
        except ValueError:
            problems.append(FieldProblem(field="decision_id", problem="is not a decision id"))
    if problems:
        raise Invalid(*problems)


def _raise_invalid(message: str) -> NoReturn:
    """Turn msgspec's sentence into the field and its problem."""
    match = _PLACE.fullmatch(message)
    assert match is not None
    problem, field = match["problem"], match["path"] or ""
    if named := _NAMED.fullmatch(problem):
        field = ".".join(filter(None, (field, named["name"])))
        required = named["kind"] == "required"
        problem = "is required" if required else "is not a field of this resource"
    raise Invalid(FieldProblem(field=field or "body", problem=problem)) from None


def _refuse_duplicate_keys(body: bytes, canonical: bytes) -> None:
    """A key twice in one object is ambiguous: readers differ in which value they take.

    The decoder keeps the last one, so a body without escapes that holds a key twice has more
    colons than its canonical form. That costs less than 1 us; the exact walk only runs when they
    differ, for this or for an innocent reason.
    """
    if b"\\" not in body and body.count(b":") == canonical.count(b":"):
        return

    def unique(pairs: list[tuple[str, Any]]) -> None:
        names = {name for name, _ in pairs}
        if len(names) != len(pairs):
            twice = next(n for n in names if sum(name == n for name, _ in pairs) > 1)
            raise Malformed(f"The key {twice!r} stands twice in one object.")

    try:
        json.loads(body, object_pairs_hook=unique)
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None


def _identities(attempt: Attempt) -> Iterator[tuple[str, object]]:
    yield "attempt_id", attempt.attempt_id
    yield "instrument.token", attempt.instrument.token
    yield "merchant.id", attempt.merchant.id
    yield "merchant.terminal_id", attempt.merchant.terminal_id
    yield "customer.id", attempt.customer.id
    yield "customer.email_hash", attempt.customer.email_hash
    yield "customer.phone_hash", attempt.customer.phone_hash
    yield "device.id", attempt.device.id
    yield "network.ip_hash", attempt.network.ip_hash
    if attempt.attributes is not UNSET:
        for name in attempt.attributes:
            yield "attributes", name


def _pan_problems(identities: Iterable[tuple[str, object]]) -> Iterator[FieldProblem]:
    for field, value in identities:
        if isinstance(value, str) and looks_like_pan(value):
            yield FieldProblem(field=field, problem="looks like a card number; send a token")


def _time_problems(*times: tuple[str, object]) -> Iterator[FieldProblem]:
    for field, value in times:
        if value is UNSET:
            continue
        try:
            as_datetime(str(value))
        except ValueError:
            yield FieldProblem(field=field, problem="is not a time that exists (RFC 3339)")


def _times_exist(attempt: Attempt) -> bool:
    """As `_time_problems` of an attempt, where there are none."""
    try:
        for instant in (attempt.occurred_at, attempt.customer.account_created_at):
            if instant is not UNSET:
                as_datetime(instant)
    except ValueError:
        return False
    return True


def _has_large_number(attempt: Attempt) -> bool:
    """Whether an extra is a number of as many digits as a card number, however it was written."""
    if attempt.attributes is UNSET:
        return False
    values = attempt.attributes.values()
    return any(isinstance(value, float) and not abs(value) < LARGE_NUMBER for value in values)


def _number_problems(attempt: Attempt) -> Iterator[FieldProblem]:
    if attempt.attributes is UNSET:
        return
    for name, value in attempt.attributes.items():
        if isinstance(value, float) and not abs(value) < float("inf"):
            yield FieldProblem(field=f"attributes.{name}", problem="is not a finite number")


# Free text outside `attributes`: what people and their devices wrote, where a number would fit.
_FREE_TEXT = {
    "instrument": ("brand",),
    "transaction": ("wallet",),
    "customer": ("email_domain", "loyalty_tier"),
    "device": ("kind", "os", "browser", "language"),
    "basket": ("category",),
}


def _redacted(attempt: Attempt) -> Attempt:
    changes: dict[str, Any] = {}
    for name, fields in _FREE_TEXT.items():
        part = getattr(attempt, name)
        clean = {
            field: redact(value)
            for field in fields
            if isinstance(value := getattr(part, field), str) and looks_like_pan(value)
        }
        if clean:
            changes[name] = msgspec.structs.replace(part, **clean)
    if attempt.attributes is not UNSET:
        extras = {name: _clean(value) for name, value in attempt.attributes.items()}
        if extras != attempt.attributes:
            changes["attributes"] = extras
    return msgspec.structs.replace(attempt, **changes) if changes else attempt


def _clean(extra: float | bool | str) -> float | bool | str:
    """An extra without a card number, which may come as a number, too."""
    if isinstance(extra, str):
        return redact(extra)
    digits = f"{extra:.0f}"
    return redact(digits) if looks_like_pan(digits) else extra
