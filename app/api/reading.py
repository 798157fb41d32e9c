"""From the bytes of a request to a checked attempt, or to the problem that says what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET

from app.api.pan import looks_like_pan, redact
from app.api.problem import Invalid, Malformed
from app.api.wire import Attempt, FieldProblem, as_datetime

__all__ = ["BODY_BYTES_MAX", "read_attempt", "read_deadline_ms", "read_retry"]

BODY_BYTES_MAX = 16 * 1024

# Under 20 ms a caller could choose a weaker rung for himself.
DEADLINE_MS_MIN, DEADLINE_MS_MAX = 20, 100

_decoder = msgspec.json.Decoder(Attempt)
_encoder = msgspec.json.Encoder()
# How msgspec says where and what. A member of a mapping is `[...]` there, or a `key`.
_PLACE = re.compile(
    r"(?P<problem>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>[^`]*?)(?:\[\.\.\.\])?`)?", re.DOTALL
)
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
    try:
        attempt = _decoder.decode(body)
    except msgspec.ValidationError as error:
        _raise_invalid(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON in UTF-8: {error}.") from None
    canonical = _encoder.encode(attempt)
    _refuse_duplicate_keys(body, canonical)
    problems = [*_pan_problems(attempt), *_time_problems(attempt), *_number_problems(attempt)]
    if problems:
        raise Invalid(*problems)
    redacted = _redacted(attempt)
    if redacted is not attempt:
        return redacted, _encoder.encode(redacted)
    return attempt, canonical


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
    colons than its canonical form. That costs 0.2 us; the exact walk only runs when they differ
    for this or for an innocent reason.
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


def _pan_problems(attempt: Attempt) -> Iterator[FieldProblem]:
    for field, value in _identities(attempt):
        if isinstance(value, str) and looks_like_pan(value):
            yield FieldProblem(field=field, problem="looks like a card number; send a token")


def _time_problems(attempt: Attempt) -> Iterator[FieldProblem]:
    for field, value in (
        ("occurred_at", attempt.occurred_at),
        ("customer.account_created_at", attempt.customer.account_created_at),
    ):
        if value is UNSET:
            continue
        try:
            as_datetime(value)
        except ValueError:
            yield FieldProblem(field=field, problem="is not a time that exists (RFC 3339)")


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
