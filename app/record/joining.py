"""What an outcome or a label changes about its attempt, and what it counts as. No I/O.

    outcome      counts as what it is, at its receipt, once for its sender's id
    superseded   withdraws the attempt, and its largeness, at the attempt's own receipt, once
    label        an attempt has one class, or none; a label that changes it withdraws the class
                 before, at the time that was counted at, and counts the new one at its receipt

Labels come from several sources, late and in any order. Which one holds is decided by the order of
receipt (then of event identity), never by `event_at` or `arrived_at`, which senders set: a label
received before the one that holds changes nothing, whenever it gets here. So the class that an
attempt ends with does not depend on the order in which journals are read.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.api.wire import OutcomeKind
from app.ids import EventId
from app.record.attempt import Attempt, decision_id_of, decision_key
from app.record.effect import Effect
from app.record.follow_up import FollowUp
from app.record.frames import Kind

__all__ = ["LABELS", "OUTCOMES", "Said", "join", "said_of"]

OUTCOMES: frozenset[str] = frozenset(get_args(OutcomeKind))
LABELS = frozenset({"fraud", "not_fraud", "withdrawn"})
# Ids remembered of an attempt; one that comes again behind so many others counts again.
SEEN_MAX = 64
HASH_BYTES = 8


class Said(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What one outcome or label says.

    Attributes:
        of: identity of the event.
        what: an outcome's kind, or a label's class.
        tenant: whose it is.
        sender_hash: of the sender's id and whether it is an outcome's or a label's.
        received_ms: receipt, ms since the epoch.
        decision: key of the decision, where it was named.
        attempt_id: where it was named.
        since_ms: since when it waits for its attempt.
    """

    of: EventId
    what: str
    tenant: str
    sender_hash: bytes
    received_ms: int
    decision: bytes | None
    attempt_id: str | None
    since_ms: int

    @property
    def receipt(self) -> tuple[int, ...]:
        """Orders what was received."""
        return (self.received_ms, *self.of)

    @property
    def decision_id(self) -> str | None:
        """Of the decision, where it was named."""
        return None if self.decision is None else decision_id_of(self.decision)


class _OutcomeBody(Struct, frozen=True):
    """What is read of an outcome's body."""

    kind: str


class _LabelBody(Struct, frozen=True):
    """What is read of a label's body."""

    label: str


_outcome = msgspec.json.Decoder(_OutcomeBody)
_label = msgspec.json.Decoder(_LabelBody)


def said_of(
    id: EventId, kind: Literal[Kind.OUTCOME, Kind.LABEL], follow_up: FollowUp, *, since_ms: int
) -> Said:
    """Read a follow-up.

    Args:
        id: of its event.
        kind: of the event.
        follow_up: its payload.
        since_ms: now, ms since the epoch.

    Raises:
        msgspec.MsgspecError: the body is none.
        ValueError: it says what is not known here, or names no decision that could be one.
    """
    if kind is Kind.OUTCOME:
        what, known = _outcome.decode(follow_up.body).kind, OUTCOMES
    else:
        what, known = _label.decode(follow_up.body).label, LABELS
    if what not in known:
        raise ValueError(f"{what!r} is not known as a {kind.name.lower()}")
    decision_id = follow_up.decision_id
    sender = f"{kind.name}\0{follow_up.id}".encode()
    return Said(
        of=id,
        what=what,
        tenant=follow_up.tenant,
        sender_hash=hashlib.blake2b(sender, digest_size=HASH_BYTES).digest(),
        received_ms=follow_up.received_ms,
        decision=None if decision_id is None else decision_key(decision_id),
        attempt_id=follow_up.attempt_id,
        since_ms=since_ms,
    )


def join(attempt: Attempt, said: Said) -> tuple[Attempt, list[Effect]]:
    """Join a follow-up with its attempt.

    Returns:
        The attempt as it is then, and what is to be counted, in order; nothing for what was
        said before.
    """
    if said.sender_hash in _hashes(attempt.seen):
        return attempt, []
    seen = (attempt.seen + said.sender_hash)[-SEEN_MAX * HASH_BYTES :]
    attempt = replace(attempt, seen=seen)
    if said.what in LABELS:
        return _labelled(attempt, said)
    if said.what != "superseded":
        return attempt, [_effect(attempt, said, said.what, said.received_ms)]
    if attempt.superseded:
        return attempt, []
    whats = [said.what, "large_superseded"] if attempt.large else [said.what]
    return replace(attempt, superseded=True), [
        _effect(attempt, said, what, attempt.received_ms) for what in whats
    ]


def _labelled(attempt: Attempt, said: Said) -> tuple[Attempt, list[Effect]]:
    if said.receipt < attempt.label_receipt:
        return attempt, []
    attempt = replace(attempt, label_receipt=said.receipt)
    label = "" if said.what == "withdrawn" else said.what
    if label == attempt.label:
        return attempt, []
    effects = []
    if attempt.label:
        withdrawn = f"{attempt.label}_withdrawn"
        effects.append(_effect(attempt, said, withdrawn, attempt.label_at_ms))
    if label:
        effects.append(_effect(attempt, said, label, said.received_ms))
    return replace(attempt, label=label, label_at_ms=said.received_ms), effects


def _effect(attempt: Attempt, said: Said, what: str, at_ms: int) -> Effect:
    return Effect(
        tenant=attempt.tenant,
        of="/".join(map(str, said.of)),
        what=what,
        at_ms=at_ms,
        received_ms=said.received_ms,
        decision_id=attempt.decision_id,
        attempt_id=attempt.attempt_id,
        attempted_ms=attempt.received_ms,
        amount_ref=attempt.amount_ref,
        entities=msgspec.msgpack.decode(attempt.entities, type=dict[str, str]),
        bits=msgspec.msgpack.decode(attempt.bits, type=dict[str, int]),
    )


def _hashes(seen: bytes) -> list[bytes]:
    return [seen[at : at + HASH_BYTES] for at in range(0, len(seen), HASH_BYTES)]
