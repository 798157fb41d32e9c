"""Rows of history from journal records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from app.api.wire import Amount, as_datetime
from app.features.spec import Entity
from app.ids import EventId
from app.record.decision import decode_record
from app.record.effect import decode_effect
from app.record.follow_up import FollowUp, decode_follow_up
from app.record.frames import Kind, Record

__all__ = ["KINDS", "Row", "row_of"]

Row = dict[str, Any]


class _OutcomeBody(Struct, frozen=True):
    """What history shows of an outcome as sent; takes fields that a later release adds."""

    kind: str
    occurred_at: str
    issuer_code: str | None = None
    amount: Amount | None = None


class _LabelBody(Struct, frozen=True):
    """What history shows of a label as sent; see `_OutcomeBody`."""

    label: str
    source: str
    event_at: str
    arrived_at: str | None = None
    reason_code: str | None = None


def row_of(record: Record) -> tuple[str, Row] | None:
    """A record's table and row, or nothing where history does not keep its kind.

    Returns:
        The row has every column of the table but the day.

    Raises:
        ValueError: the payload does not read as its kind says (msgspec's errors are ValueErrors).
    """
    kept = KINDS.get(record.kind)
    if kept is None:
        return None
    table, read = kept
    return table, _event(record.id) | read(record.payload)


def _event(id: EventId) -> Row:
    return {"region": id.region, "writer": id.writer, "epoch": id.epoch, "seq": id.seq}


def _decision(payload: bytes) -> Row:
    record = decode_record(payload)
    step_up, decline = record.thresholds or (None, None)
    model = record.model
    return {
        "tenant": record.tenant,
        "decision_id": record.decision_id,
        "attempt_id": record.attempt_id,
        "received_ms": record.received_ms,
        "as_of_ms": record.as_of_ms,
        "request": record.request,
        "amount_ref": record.amount_ref,
        "rates": record.rates,
        **_entities(record.entities, record.bits),
        **{f"merchant_{name}": record.merchant.get(name) for name in _MERCHANT},
        "large": record.large,
        "action": record.action,
        "score": record.score,
        "raw_score": record.raw_score,
        "ranking": record.ranking,
        "rung": record.rung,
        "not_higher": list(record.not_higher.items()),
        "reasons": record.reasons,
        "step_up_from": step_up,
        "decline_from": decline,
        "model_name": model and model.name,
        "model_version": model and model.version,
        "model_provenance": model and model.provenance,
        "versions": list(record.versions.items()),
        "velocity": list(record.velocity.items()),
        "retry": record.retry,
        "numbers": np.frombuffer(record.numbers, "<f4"),
        "categories": record.categories,
        "positions": _positions(record.positions),
        "feature_age_ms": record.feature_age_ms,
        "deadline_ms": record.deadline_ms,
        "took_ms": record.took_ms,
        "trace_id": record.trace_id,
    }


def _outcome(payload: bytes) -> Row:
    follow_up = decode_follow_up(payload)
    body = _outcome_body.decode(follow_up.body)
    return _follow_up(follow_up) | {
        "kind": body.kind,
        "occurred_ms": _unix_ms(body.occurred_at),
        "issuer_code": body.issuer_code,
        "amount_value": body.amount and body.amount.value,
        "amount_currency": body.amount and body.amount.currency,
    }


def _label(payload: bytes) -> Row:
    follow_up = decode_follow_up(payload)
    body = _label_body.decode(follow_up.body)
    return _follow_up(follow_up) | {
        "label": body.label,
        "source": body.source,
        "event_ms": _unix_ms(body.event_at),
        "arrived_ms": None if body.arrived_at is None else _unix_ms(body.arrived_at),
        "reason_code": body.reason_code,
    }


def _follow_up(follow_up: FollowUp) -> Row:
    return {
        "tenant": follow_up.tenant,
        "id": follow_up.id,
        "home": follow_up.home,
        "received_ms": follow_up.received_ms,
        "decision_id": follow_up.decision_id,
        "attempt_id": follow_up.attempt_id,
        "body": follow_up.body,
    }


def _effect(payload: bytes) -> Row:
    effect = decode_effect(payload)
    return {
        "tenant": effect.tenant,
        "of": effect.of,
        "what": effect.what,
        "at_ms": effect.at_ms,
        "received_ms": effect.received_ms,
        "decision_id": effect.decision_id,
        "attempt_id": effect.attempt_id,
        "attempted_ms": effect.attempted_ms,
        "amount_ref": effect.amount_ref,
        **_entities(effect.entities, effect.bits),
    }


def _entities(ids: Mapping[str, str], bits: Mapping[str, int]) -> Row:
    columns: Row = {entity: ids.get(entity) for entity in _ENTITIES}
    return columns | {column: bits.get(entity) for entity, column in _BITS}


def _positions(
    positions: Mapping[str, Mapping[str, tuple[int, int]]],
) -> Iterable[tuple[str, list[tuple[str, dict[str, int]]]]]:
    return [
        (source, [(w, {"epoch": epoch, "seq": seq}) for w, (epoch, seq) in of.items()])
        for source, of in positions.items()
    ]


def _unix_ms(instant: str) -> int:
    return round(as_datetime(instant).timestamp() * 1_000)


_outcome_body = msgspec.json.Decoder(_OutcomeBody)
_label_body = msgspec.json.Decoder(_LabelBody)
_MERCHANT = ("tier", "category", "country")
_ENTITIES = tuple(entity.value for entity in Entity)
_BITS = tuple((entity, f"{entity}_bit") for entity in _ENTITIES)

# What history keeps: table by kind of record, and how a payload of it becomes a row.
KINDS: Mapping[Kind | int, tuple[str, Callable[[bytes], Row]]] = {
    Kind.DECISION: ("decisions", _decision),
    Kind.OUTCOME: ("outcomes", _outcome),
    Kind.LABEL: ("labels", _label),
    Kind.EFFECT: ("effects", _effect),
}
