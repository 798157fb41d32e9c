"""What the counters need of an event; the rest of its payload is skipped unread."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from app.features.blocks import Events
from app.features.events import Counted
from app.features.rings import Int64s
from app.features.spec import Entity
from app.record.frames import Kind, Record

__all__ = ["WHAT_OF_ACTION", "WHAT_OF_NAME", "Countable", "countable", "events_of"]


class Countable(msgspec.Struct, frozen=True):
    """One event that counts.

    Attributes:
        tenant: whose it is.
        at_ms: the time it counts at, ms since the epoch.
        what: kinds of events that it is.
        amount_ref: reference minor units.
        entities: id by entity.
        bits: bit of an entity's id in distinct bitmaps.
    """

    tenant: str
    at_ms: int
    what: int
    amount_ref: int
    entities: dict[str, str]
    bits: dict[str, int]


class _Decision(msgspec.Struct, frozen=True):
    """See `app.record.decision.DecisionRecord`."""

    tenant: str
    received_ms: int
    amount_ref: int
    entities: dict[str, str]
    bits: dict[str, int]
    action: str
    large: bool = False


class _Effect(msgspec.Struct, frozen=True):
    """See `app.record.effect.Effect`."""

    tenant: str
    what: str
    at_ms: int
    amount_ref: int
    entities: dict[str, str]
    bits: dict[str, int] = msgspec.field(default_factory=dict)


_decision = msgspec.msgpack.Decoder(_Decision)
_effect = msgspec.msgpack.Decoder(_Effect)
WHAT_OF_ACTION = {
    "approve": int(Counted.ATTEMPTED),
    "step_up": int(Counted.ATTEMPTED | Counted.STEPPED_UP),
    "decline": int(Counted.ATTEMPTED | Counted.DECLINED),
}
WHAT_OF_NAME = {kind.name.lower(): kind.value for kind in Counted if kind.name}
_LARGE = int(Counted.LARGE)


def countable(record: Record) -> Countable | None:
    """What is to be counted of a journal record; None where there is nothing.

    Raises:
        msgspec.MsgspecError: the payload cannot be read.
    """
    if record.kind is Kind.DECISION:
        made = _decision.decode(record.payload)
        what = WHAT_OF_ACTION.get(made.action, int(Counted.ATTEMPTED))
        return Countable(
            made.tenant,
            made.received_ms,
            what | _LARGE if made.large else what,
            made.amount_ref,
            made.entities,
            made.bits,
        )
    if record.kind is Kind.EFFECT:
        effect = _effect.decode(record.payload)
        return Countable(
            effect.tenant,
            effect.at_ms,
            WHAT_OF_NAME.get(effect.what, 0),  # of a release to come: not known here
            effect.amount_ref,
            effect.entities,
            effect.bits,
        )
    return None


def events_of(counted: Sequence[Countable], told_apart: Sequence[Entity]) -> Events:
    """The same in columns, as layouts fold them in."""
    return Events(
        at_ms=_int64s([one.at_ms for one in counted]),
        what=_int64s([one.what for one in counted]),
        amount=_int64s([one.amount_ref for one in counted]),
        bits={
            entity: np.array([one.bits.get(entity, 0) for one in counted], dtype=np.uint64)
            for entity in told_apart
        },
    )


def _int64s(values: list[int]) -> Int64s:
    return np.array(values, dtype=np.int64)
