"""What came after a decision: outcomes and labels, as the journal keeps them."""

from __future__ import annotations

import msgspec
from msgspec import Struct

__all__ = ["FollowUp", "decode_follow_up", "encode_follow_up"]


class FollowUp(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Payload of an outcome or a label. Versioned; readers keep fields they do not know.

    Attributes:
        tenant: whose it is.
        id: the sender's, by which it counts once.
        home: number of the decision's region, where its effect is counted.
        received_ms: receipt, ms since the epoch.
        decision_id: where the sender named it.
        attempt_id: where the sender named it.
        body: the canonical body, as sent.
    """

    v: int = 1
    tenant: str
    id: str
    home: int
    received_ms: int
    decision_id: str | None = None
    attempt_id: str | None = None
    body: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(FollowUp)


def encode_follow_up(follow_up: FollowUp) -> bytes:
    """The follow-up as journal payload."""
    return _encoder.encode(follow_up)


def decode_follow_up(payload: bytes) -> FollowUp:
    """Read a follow-up's payload."""
    return _decoder.decode(payload)
