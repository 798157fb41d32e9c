"""What a journal says of decisions that it has no record of."""

from __future__ import annotations

import msgspec
from msgspec import Struct

__all__ = ["Gap", "decode_gap", "encode_gap"]


class Gap(Struct, frozen=True, kw_only=True):
    """Payload of a gap: written before the next record once the journal takes records again.

    Attributes:
        missed: decisions that were answered without a record.
        since_ms: the first of them, ms since the epoch.
        until_ms: the last of them, ms since the epoch.
    """

    v: int = 1
    missed: int
    since_ms: int
    until_ms: int


_encoder = msgspec.msgpack.Encoder()
_gap = msgspec.msgpack.Decoder(Gap)


def encode_gap(gap: Gap) -> bytes:
    """The gap as journal payload."""
    return _encoder.encode(gap)


def decode_gap(payload: bytes) -> Gap:
    """Read a gap's payload.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _gap.decode(payload)
