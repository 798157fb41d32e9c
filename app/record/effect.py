"""An effect: an outcome or a label joined with its decision, ready to be counted.

A follow-up names an attempt; what has to be counted are the attempt's card, merchant and so on.
The joiner brings the two together once, and writes the effect into a journal of its own, so that
counters, SQL and training count the very same events.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

__all__ = ["Effect", "decode_effect", "encode_effect"]


class Effect(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Payload of an effect in the journal. Versioned; readers keep fields they do not know.

    Attributes:
        tenant: whose it is.
        of: identity of the outcome or label, "region/writer/epoch/seq".
        what: what it counts as: the name of one `app.features.events.Counted`, lower case.
        at_ms: the time it counts at, ms since the epoch: the follow-up's receipt at the home
            region; of a withdrawal, the time that the withdrawn event was counted at.
        received_ms: receipt of the follow-up.
        decision_id: of the decision.
        attempt_id: of the attempt.
        attempted_ms: receipt of the attempt.
        amount_ref: of the attempt, reference minor units.
        entities: of the attempt, id by entity.
        bits: of the attempt, bit of an entity's id in distinct bitmaps.
    """

    v: int = 1
    tenant: str
    of: str
    what: str
    at_ms: int
    received_ms: int
    decision_id: str
    attempt_id: str
    attempted_ms: int
    amount_ref: int
    entities: dict[str, str]
    bits: dict[str, int] = msgspec.field(default_factory=dict)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Effect)


def encode_effect(effect: Effect) -> bytes:
    """The effect as journal payload."""
    return _encoder.encode(effect)


def decode_effect(payload: bytes) -> Effect:
    """Read an effect's payload."""
    return _decoder.decode(payload)
