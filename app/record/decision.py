"""The decision record: everything needed to show, count and compute a decision again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from app.api.wire import Model

__all__ = ["DecisionRecord", "Encoded", "decode_record", "encode"]

Positions = dict[str, tuple[int, int]]


class DecisionRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Payload of a decision in the journal. Versioned; readers keep fields they do not know.

    Attributes:
        tenant: whose attempt it is.
        decision_id: of the service.
        attempt_id: of the caller.
        received_ms: receipt at the home region, ms since the epoch; the time that windows run on.
        as_of_ms: when the counters were read.
        request: the canonical body, card numbers redacted.
        amount_ref: amount in the reference currency's minor units.
        rates: version of the rate table behind `amount_ref`; None where there was no rate.
        entities: id by entity, as counted.
        bits: bit of an entity's id in distinct bitmaps, computed here, once.
        merchant: the directory's entry as used.
        large: whether the amount was far above the card's own mean, as far as was known.
        action: what was answered.
        score: calibrated probability, where a model scored.
        ranking: orders attempts by suspicion on this rung.
        rung: that answered.
        not_higher: why each higher rung did not.
        reasons: codes, strongest first.
        withheld: the code for which an approval was withheld: the stand-in budget had no room.
        thresholds: (step_up, decline) as applied.
        model: name, version and provenance of the model that scored.
        versions: identity of policy, rules, snapshot, directory and feature schema.
        velocity: attempts seen by the process over the last seconds, by entity.
        retry: how often the caller had tried before.
        raw_score: log odds as the model gave them.
        numbers: numeric inputs as scored, float32 little endian.
        categories: category inputs as scored.
        positions: by source and journal writer, the (epoch, seq) its counters had applied.
        feature_age_ms: age of the counters when read.
        deadline_ms: what the decision had.
        took_ms: what it took.
        trace_id: of the caller's trace (W3C), where there was one.
        client_decided_ms: when a client decided by itself, by its clock; None where a region did.
    """

    v: int = 1
    tenant: str
    decision_id: str
    attempt_id: str
    received_ms: int
    as_of_ms: int
    request: bytes
    amount_ref: int
    rates: str | None = None
    entities: Mapping[str, str]
    bits: Mapping[str, int]
    merchant: dict[str, Any]
    large: bool = False
    action: str
    score: float | None = None
    ranking: float
    rung: str
    not_higher: dict[str, str]
    reasons: list[str]
    withheld: str | None = None
    thresholds: tuple[float | None, float] | None = None
    model: Model | None = None
    versions: Mapping[str, str]
    velocity: Mapping[str, int] = msgspec.field(default_factory=dict)
    retry: int = 0
    raw_score: float | None = None
    numbers: bytes = b""
    categories: list[bytes] = msgspec.field(default_factory=list)
    positions: Mapping[str, Positions] = msgspec.field(default_factory=dict)
    feature_age_ms: int | None = None
    deadline_ms: int
    took_ms: float
    trace_id: str | None = None
    client_decided_ms: int | None = None


_encoder = msgspec.msgpack.Encoder()
_record = msgspec.msgpack.Decoder(DecisionRecord)


class Encoded(NamedTuple):
    """A decision on its way to the journal.

    Attributes:
        received_ms: as of the record.
        payload: the record's bytes.
    """

    received_ms: int
    payload: bytes


def encode(record: DecisionRecord) -> bytes:
    """The record as journal payload."""
    return _encoder.encode(record)


def decode_record(payload: bytes) -> DecisionRecord:
    """Read a decision's payload."""
    return _record.decode(payload)
