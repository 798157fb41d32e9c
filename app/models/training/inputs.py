"""Model inputs from history, as they would have been read at each attempt's own moment.

The same ring arithmetic as serving, from the same module; batch values as of the midnight
before; labels only once they had arrived. `tests/integration` compares a sample with what the
serving path computes, value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.packed import distinct_bit
from app.features.rings import Int64s, Ring, UInt64s, distinct_of_events, sum_of_events
from app.features.spec import (
    BATCH,
    BATCH_ENTITIES,
    CATEGORIES,
    DAY_MS,
    NUMBERS,
    STREAMING,
    STREAMING_ENTITIES,
    Aggregate,
    Entity,
    InputState,
    horizon_ms,
)
from app.features.vector import ABSENT
from app.models.training.history import NEVER_MS, History, Ids, ids_of

__all__ = ["Table", "hot_merchants", "inputs_of", "snapshot_rows"]

# Asked at a midnight, a ring of day buckets is the exact window of whole days before it.
WEEK = Ring(window_ms=7 * DAY_MS, buckets=7)
MONTH = Ring(window_ms=30 * DAY_MS, buckets=30)

# Fraud rate that a merchant without history is taken to have, and how many attempts that is worth.
PRIOR_RATE = 0.004
PRIOR_ATTEMPTS = 100.0

HOT_LABELS = 4
HOT_RATE = 0.05

Float32s = npt.NDArray[np.float32]
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Table:
    """Inputs of many attempts.

    Attributes:
        numbers: float32, shape (attempts, len(NUMBERS)), C order.
        categories: bytes, shape (attempts, len(CATEGORIES)).
    """

    numbers: Float32s
    categories: Objects

    def take(self, rows: Int64s) -> Table:
        """Some of the attempts."""
        return Table(np.ascontiguousarray(self.numbers[rows]), self.categories[rows])


def inputs_of(
    history: History, report: Callable[[float, str], None] = lambda _share, _what: None
) -> Table:
    """The inputs of every attempt at its own moment."""
    numbers = np.full((len(history), len(NUMBERS)), np.nan, dtype=np.float32)
    categories = np.empty((len(history), len(CATEGORIES)), dtype=object)
    ids = {entity: ids_of(history, entity) for entity in {*BATCH_ENTITIES, *STREAMING_ENTITIES}}
    report(0.1, "request inputs")
    _request(history, numbers, categories)
    report(0.3, "batch inputs as of each midnight")
    midnight = history.day * DAY_MS
    for entity in BATCH_ENTITIES:
        values, seen = _batch_values(history, entity, ids[entity], ids[entity].code, midnight)
        for name, column in values.items():
            numbers[:, NUMBERS.index(name)] = column
        states = _states(ids[entity].code >= 0, seen)
        categories[:, CATEGORIES.index(f"{entity}_snapshot_state")] = states
    amount = numbers[:, NUMBERS.index("amount_ref")]
    mean = numbers[:, NUMBERS.index("card_amount_mean_30d")]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(mean > 0, amount / mean, np.float32("nan"))
    numbers[:, NUMBERS.index("amount_to_card_mean")] = ratio
    report(0.5, "streaming inputs at each attempt")
    _streaming(history, ids, numbers, categories)
    report(1.0, "inputs ready")
    return Table(numbers, categories)


def snapshot_rows(
    history: History, as_of_ms: int
) -> Mapping[Entity, list[tuple[str, npt.NDArray[np.float32]]]]:
    """What the snapshot of a midnight holds: (id, values in the order of `spec.BATCH`)."""
    rows = {}
    for entity in BATCH_ENTITIES:
        ids = ids_of(history, entity)
        everyone = np.arange(len(ids.names))
        midnight = np.full(len(ids.names), as_of_ms)
        values, seen = _batch_values(history, entity, ids, everyone, midnight)
        matrix = np.column_stack(list(values.values())).astype(np.float32)
        rows[entity] = [(ids.names[at], matrix[at]) for at in np.flatnonzero(seen)]
    return rows


def hot_merchants(history: History, as_of_ms: int) -> list[str]:
    """Merchants to watch from a midnight on: enough labels in a week, and a high rate."""
    merchants = ids_of(history, Entity.MERCHANT)
    everyone = np.arange(len(merchants.names))
    values, _ = _batch_values(
        history, Entity.MERCHANT, merchants, everyone, np.full(len(everyone), as_of_ms)
    )
    hot = (values["merchant_fraud_7d"] >= HOT_LABELS) & (
        values["merchant_fraud_rate_30d"] >= HOT_RATE
    )
    return sorted(merchants.names[at] for at in np.flatnonzero(hot))


def _batch_values(
    history: History, entity: Entity, ids: Ids, ask: Int64s, midnight_ms: Int64s
) -> tuple[dict[str, Float32s], npt.NDArray[np.bool_]]:
    """Batch values by name, NaN where the snapshot has no row, and whether it has one."""
    there = ids.code >= 0
    events, times = ids.code[there], history.received_ms[there]
    asked = np.maximum(ask, 0)

    def attempted(value: Int64s) -> Int64s:
        total = sum_of_events(
            MONTH, entity=events, time_ms=times, value=value, ask_entity=asked, ask_ms=midnight_ms
        )
        return total.astype(np.int64)

    count = attempted(np.ones(len(events), dtype=np.int64))
    seen = (count > 0) & (ask >= 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if entity is Entity.CARD:
            amount = attempted(history.amount_ref[there])
            values = {"card_attempted_30d": count, "card_amount_mean_30d": amount / count}
        else:
            labelled = there & (history.labelled_ms < NEVER_MS)
            fraud = {
                ring: sum_of_events(
                    ring,
                    entity=ids.code[labelled],
                    time_ms=history.labelled_ms[labelled],
                    value=np.ones(int(labelled.sum()), dtype=np.int64),
                    ask_entity=asked,
                    ask_ms=midnight_ms,
                )
                for ring in (WEEK, MONTH)
            }
            rate = (fraud[MONTH] + PRIOR_RATE * PRIOR_ATTEMPTS) / (count + PRIOR_ATTEMPTS)
            values = {"merchant_fraud_7d": fraud[WEEK], "merchant_fraud_rate_30d": rate}
    names = [feature.name for feature in BATCH if feature.entity is entity]
    return {name: np.where(seen, values[name], np.nan).astype(np.float32) for name in names}, seen


def _streaming(
    history: History, ids: Mapping[Entity, Ids], numbers: Float32s, categories: Objects
) -> None:
    now = history.received_ms
    first = len(NUMBERS) - len(STREAMING)
    for at, counter in enumerate(STREAMING):
        code = ids[counter.entity].code
        there = code >= 0
        events, times, asked = code[there], now[there], np.maximum(code, 0)
        if counter.aggregate is Aggregate.DISTINCT:
            bit = _bits(ids[Entity(counter.of)])[there]
            bitmaps = distinct_of_events(
                counter.ring, entity=events, time_ms=times, bit=bit, ask_entity=asked, ask_ms=now
            )
            value = np.bitwise_count(bitmaps).astype(np.float64)
        else:
            added = (
                np.ones(len(events), dtype=np.int64)
                if counter.aggregate is Aggregate.COUNT
                else history.amount_ref[there]
            )
            value = sum_of_events(
                counter.ring,
                entity=events,
                time_ms=times,
                value=added,
                ask_entity=asked,
                ask_ms=now,
            )
        numbers[:, first + at] = np.where(there, value, np.nan)
    for entity in STREAMING_ENTITIES:
        code = ids[entity].code
        live = _seen_since(code, now, horizon_ms(entity))
        categories[:, CATEGORIES.index(f"{entity}_counters_state")] = _states(code >= 0, live)


def _seen_since(code: Int64s, now_ms: Int64s, horizon: int) -> npt.NDArray[np.bool_]:
    """Whether the entity's last attempt before this one is within the horizon."""
    order = np.lexsort((now_ms, code))
    sorted_code, sorted_ms = code[order], now_ms[order]
    # The last strictly earlier attempt: those of the same instant were not applied yet either.
    run_start = np.concatenate([[True], (np.diff(sorted_code) != 0) | (np.diff(sorted_ms) != 0)])
    start_of_run = np.maximum.accumulate(np.where(run_start, np.arange(len(code)), 0))
    before = start_of_run - 1
    at = np.maximum(before, 0)
    seen = (before >= 0) & (sorted_code[at] == sorted_code) & (sorted_ms - sorted_ms[at] <= horizon)
    result = np.empty(len(code), dtype=bool)
    result[order] = seen
    return result


def _bits(ids: Ids) -> UInt64s:
    table = np.array([distinct_bit(name) for name in ids.names], dtype=np.uint64)
    return np.where(ids.code >= 0, table[np.maximum(ids.code, 0)], np.uint64(0))


def _states(mapped: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_]) -> Objects:
    states = np.where(seen, InputState.PRESENT.value, InputState.NEVER_SEEN.value)
    return np.where(mapped, states, InputState.NOT_MAPPED.value).astype(object)


def _request(history: History, numbers: Float32s, categories: Objects) -> None:
    table = history.attempts
    age_ms = history.received_ms - _epoch_ms(table["customer__account_created_at"])
    values = {
        "amount_ref": history.amount_ref,
        "account_age_days": np.maximum(age_ms / DAY_MS, 0),
        "basket_items": _floats(table["basket__items"]),
        "gift_cards": _floats(table["basket__gift_cards"]),
        "emulator": _floats(table["device__emulator"]),
        "proxy": _floats(table["network__proxy"]),
        "ip_abroad": _differ(table["network__ip_country"], table["instrument__issuer_country"]),
        "ships_abroad": _differ(
            table["address__shipping_country"], table["address__billing_country"]
        ),
    }
    for name, column in values.items():
        numbers[:, NUMBERS.index(name)] = column
    merchants = ids_of(history, Entity.MERCHANT)
    known = [history.merchants.get(name) for name in merchants.names]
    absent = pa.nulls(len(history), pa.string())
    columns = {
        "merchant_category": [None if m is None else m.category for m in known],
        "merchant_country": [None if m is None else m.country for m in known],
    }
    for name, of_merchant in columns.items():
        table_of = np.array(
            [ABSENT if v is None else v.encode() for v in of_merchant], dtype=object
        )
        categories[:, CATEGORIES.index(name)] = table_of[merchants.code]
    for name, source in {
        "channel": "transaction__channel",
        "entry_mode": "transaction__entry_mode",
        "funding": "instrument__funding",
        "issuer_country": "instrument__issuer_country",
        "device_kind": "device__kind",
        "email_domain": "customer__email_domain",
    }.items():
        column = table[source] if source in table.column_names else pa.chunked_array([absent])
        categories[:, CATEGORIES.index(name)] = _bytes(column)


def _bytes(column: pa.ChunkedArray) -> Objects:
    encoded = pc.dictionary_encode(column.combine_chunks().cast(pa.string()))
    names = np.array(
        [*(name.encode() for name in encoded.dictionary.to_pylist()), ABSENT], dtype=object
    )
    values: Objects = names[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return values


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = (
        column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    )
    return values


def _epoch_ms(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    millis = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    return _floats(millis)


def _differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return _floats(pc.not_equal(one, other).cast(pa.int8()))
