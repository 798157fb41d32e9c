"""What the joiner remembers of an attempt, and the keys it goes by."""

from __future__ import annotations

import hashlib
import uuid

import msgspec
from msgspec import Raw, Struct

from app.ids import DECISION_PREFIX

__all__ = [
    "Attempt",
    "attempt_of",
    "decision_id_of",
    "decision_key",
    "decode_attempt",
    "encode_attempt",
    "name_of",
]

KEY_BYTES = 16


class Attempt(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What counting a follow-up needs of an attempt, and what was counted of it already.

    Attributes:
        decision: key of its first decision.
        tenant: whose it is.
        attempt_id: of the caller.
        received_ms: receipt, ms since the epoch.
        amount_ref: reference minor units.
        entities: MessagePack, id by entity; left as it came, since most are never followed up.
        bits: MessagePack, bit of an entity's id in distinct bitmaps.
        label: the class that counts now; empty for none.
        label_at_ms: the time that the class was counted at.
        label_receipt: of the latest label, in order of receipt.
        superseded: whether the attempt was withdrawn.
        seen: hashes of the senders' ids joined before, eight bytes each.
        large: whether it counted as large.
    """

    decision: bytes
    tenant: str
    attempt_id: str
    received_ms: int
    amount_ref: int
    entities: Raw
    bits: Raw
    label: str = ""
    label_at_ms: int = 0
    label_receipt: tuple[int, ...] = ()
    superseded: bool = False
    seen: bytes = b""
    large: bool = False  # last: kept attempts are arrays, and those of before have no such field

    @property
    def decision_id(self) -> str:
        """Of its first decision."""
        return decision_id_of(self.decision)


class _Decided(Struct, frozen=True, gc=False):
    """What is kept of a decision record; the rest of the payload is skipped unread."""

    tenant: str
    decision_id: str
    attempt_id: str
    received_ms: int
    amount_ref: int
    entities: Raw
    bits: Raw
    large: bool = False


_decided = msgspec.msgpack.Decoder(_Decided)
_encoder = msgspec.msgpack.Encoder()
_attempt = msgspec.msgpack.Decoder(Attempt)


def encode_attempt(attempt: Attempt) -> bytes:
    """The attempt as the index keeps it."""
    return _encoder.encode(attempt)


def decode_attempt(kept: bytes) -> Attempt:
    """Read an attempt of the index."""
    return _attempt.decode(kept)


def attempt_of(payload: bytes) -> Attempt:
    """The attempt of a decision's payload in the journal.

    Raises:
        msgspec.MsgspecError: it is no decision record.
        ValueError: its decision id is none.
    """
    decided = _decided.decode(payload)
    return Attempt(
        decision=decision_key(decided.decision_id),
        tenant=decided.tenant,
        attempt_id=decided.attempt_id,
        received_ms=decided.received_ms,
        amount_ref=decided.amount_ref,
        entities=decided.entities,
        bits=decided.bits,
        large=decided.large,
    )


def decision_key(decision_id: str) -> bytes:
    """A decision's key, 16 bytes; keys sort by time.

    Raises:
        ValueError: it is not a decision id of this service.
    """
    key = bytes.fromhex(decision_id.removeprefix(DECISION_PREFIX).replace("-", ""))
    if len(key) != KEY_BYTES:
        raise ValueError(f"{decision_id!r} is not a decision id")
    return key


def decision_id_of(key: bytes) -> str:
    """The decision id of a key."""
    return f"{DECISION_PREFIX}{uuid.UUID(bytes=key)}"


def name_of(tenant: str, attempt_id: str) -> bytes:
    """What an attempt goes by in the index, 16 bytes, which callers cannot make collide."""
    return hashlib.blake2b(f"{tenant}\0{attempt_id}".encode(), digest_size=KEY_BYTES).digest()
