"""The tables of history and their columns, as ClickHouse names the types.

One declaration serves the Parquet files, chDB and a ClickHouse server, so that the same SQL means
the same everywhere. A column may be added: files written before read as null or empty. Renaming
one, or changing its type, needs the history written again.

Every row holds the identity of its event in the journal (region, writer, epoch, seq). The day of
receipt, UTC, is the partition: it stands in the folder's name, and is a column in SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from app.features.spec import Entity

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DAY", "TABLES", "arrow_schema", "structure"]

DAY = "day"

_NAME = "LowCardinality(String)"
_NAME_OR_NULL = "LowCardinality(Nullable(String))"
_TEXT_OR_NULL = "Nullable(String)"
_MS_OR_NULL = "Nullable(Int64)"  # ms since the epoch

_EVENT = {"region": "UInt8", "writer": "UInt16", "epoch": "UInt32", "seq": "UInt64"}
_ENTITIES = {entity.value: _TEXT_OR_NULL for entity in Entity} | {
    f"{entity}_bit": "Nullable(UInt64)" for entity in Entity
}
_FOLLOW_UP = {
    **_EVENT,
    "tenant": _NAME,
    "id": "String",  # the sender's
    "home": "UInt8",
    "received_ms": "Int64",
    "decision_id": _TEXT_OR_NULL,
    "attempt_id": _TEXT_OR_NULL,
}

# Columns by table, ClickHouse type by column. Units and meaning: `app.record.decision`,
# `app.api.wire` and `app.record.effect`, whose fields these are.
TABLES: Mapping[str, Mapping[str, str]] = {
    "decisions": {
        **_EVENT,
        "tenant": _NAME,
        "decision_id": "String",
        "attempt_id": "String",
        "received_ms": "Int64",
        "as_of_ms": "Int64",
        "request": "String",
        "amount_ref": "Int64",
        "rates": _NAME_OR_NULL,
        **_ENTITIES,
        "merchant_tier": _NAME_OR_NULL,
        "merchant_category": _NAME_OR_NULL,
        "merchant_country": _NAME_OR_NULL,
        "large": "Bool",
        "action": _NAME,
        "score": "Nullable(Float64)",
        "raw_score": "Nullable(Float64)",
        "ranking": "Float64",
        "rung": _NAME,
        "not_higher": "Map(String, String)",
        "reasons": "Array(String)",
        "step_up_from": "Nullable(Float64)",
        "decline_from": "Nullable(Float64)",
        "model_name": _NAME_OR_NULL,
        "model_version": _NAME_OR_NULL,
        "model_provenance": _NAME_OR_NULL,
        "versions": "Map(String, String)",
        "velocity": "Map(String, Int64)",
        "retry": "UInt32",
        "numbers": "Array(Float32)",
        "categories": "Array(String)",
        "positions": "Map(String, Map(String, Tuple(epoch UInt64, seq UInt64)))",
        "feature_age_ms": _MS_OR_NULL,
        "deadline_ms": "Int64",
        "took_ms": "Float64",
        "trace_id": _TEXT_OR_NULL,
    },
    "outcomes": {
        **_FOLLOW_UP,
        "kind": _NAME,
        "occurred_ms": "Int64",
        "issuer_code": _TEXT_OR_NULL,
        "amount_value": "Nullable(Int64)",
        "amount_currency": _NAME_OR_NULL,
        "body": "String",
    },
    "labels": {
        **_FOLLOW_UP,
        "label": _NAME,
        "source": _NAME,
        "event_ms": "Int64",
        "arrived_ms": _MS_OR_NULL,
        "reason_code": _TEXT_OR_NULL,
        "body": "String",
    },
    "effects": {
        **_EVENT,
        "tenant": _NAME,
        "of": "String",
        "what": _NAME,
        "at_ms": "Int64",
        "received_ms": "Int64",
        "decision_id": "String",
        "attempt_id": "String",
        "attempted_ms": "Int64",
        "amount_ref": "Int64",
        **_ENTITIES,
    },
}


def structure(columns: Mapping[str, str]) -> str:
    """The columns as ClickHouse declares them: `region UInt8, writer UInt16`."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def arrow_schema(table: str) -> pa.Schema:
    """What a Parquet file of the table holds."""
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that only the historian and SQL need

    return pa.schema([(name, _arrow(kind)) for name, kind in TABLES[table].items()])


def _arrow(kind: str) -> pa.DataType:
    """The Arrow type that ClickHouse reads as `kind`; what may be null is not part of it."""
    import pyarrow as pa  # noqa: PLC0415

    name, _, inner = kind.partition("(")
    inner = inner[:-1]
    match name:
        case "LowCardinality" | "Nullable":
            return _arrow(inner)
        case "Array":
            return pa.list_(_arrow(inner))
        case "Map":
            return pa.map_(pa.string(), _arrow(inner.partition(", ")[2]))
        case "Tuple":
            return pa.struct([(field, _arrow(of)) for field, of in _fields(inner)])
        case _:
            return pa.type_for_alias(name.lower())  # ClickHouse's names, in lower case


def _fields(inner: str) -> Iterator[tuple[str, str]]:
    for field in inner.split(", "):
        name, _, kind = field.partition(" ")
        yield name, kind
