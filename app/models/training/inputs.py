"""Model inputs from history, as they would have been read at each attempt's own moment.

The same ring arithmetic and formulas as serving, from the same modules; batch values as of the
midnight before; labels only once they had arrived. `tests/integration` compares a sample with
what the serving path computes, value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.formulas import Formulas
from app.features.reference import HOT_LABELS, HOT_RATE
from app.features.rings import Int64s
from app.features.spec import DAY_MS, REGIONS_PRESENT, Entity, FeatureSet, InputState
from app.features.vector import ABSENT
from app.models.training.counters import (
    EventLog,
    Source,
    counter_values,
    merged_values,
    seen_within,
)
from app.models.training.history import History, Ids, encoded, ids_of

__all__ = ["Table", "hot_merchants", "inputs_of", "put_streaming", "snapshot_batches"]

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Table:
    """Inputs of many attempts.

    Attributes:
        features: what the columns are.
        numbers: float32, shape (rows, numbers of the set), C order.
        categories: bytes, shape (rows, categories of the set).
        attempts: that the rows are of, ascending, as the history numbers them; by default all.
    """

    features: FeatureSet
    numbers: Float32s
    categories: Objects
    attempts: Int64s | None = None

    def take(self, attempts: Int64s) -> Table:
        """Some of the attempts, renumbered in the order given."""
        rows = self.rows(attempts)
        return Table(self.features, np.ascontiguousarray(self.numbers[rows]), self.categories[rows])

    def rows(self, attempts: Int64s) -> Int64s:
        """Rows of some attempts.

        Raises:
            ValueError: the table does not hold one of them.
        """
        if self.attempts is None:
            return attempts
        rows = np.searchsorted(self.attempts, attempts)
        if (self.attempts.take(rows, mode="clip") != attempts).any():
            raise ValueError("the table does not hold the inputs of all of these attempts")
        return rows

    def number(self, name: str) -> Float32s:
        """One numeric input, shape (rows,)."""
        return self.numbers[:, self.features.numbers.index(name)]


def inputs_of(
    history: History,
    features: FeatureSet,
    report: Callable[[float, str], None] = lambda _share, _what: None,
    *,
    attempts: Int64s | None = None,
) -> Table:
    """The inputs of attempts, each at its own moment.

    Args:
        history: all attempts; every one of them is counted.
        features: what the inputs are.
        report: told the share done and what is being done.
        attempts: whose inputs are wanted, ascending; by default all. Memory and time follow them.
    """
    asked = history if attempts is None else history.take(attempts)
    table = Table(
        features,
        np.full((len(asked), len(features.numbers)), np.nan, dtype=np.float32),
        np.empty((len(asked), len(features.categories)), dtype=object),
        attempts,
    )
    ids = {entity: ids_of(history, entity) for entity in Entity}
    codes = {
        entity: of.code if attempts is None else of.code[attempts] for entity, of in ids.items()
    }
    report(0.1, "request inputs")
    _request(asked, table)
    report(0.2, "amounts against the card's own mean")
    log = EventLog.marked(history, features)
    amount = asked.amount_ref.astype(np.float64)
    report(0.3, "batch inputs as of each midnight")
    _batch(asked, ids, codes, log, table=table, amount=amount)
    report(0.5, "streaming inputs at each attempt")
    put_streaming(
        table,
        [Source(log, np.ones(len(asked), dtype=bool))],
        ids,
        rows=np.arange(len(history)) if attempts is None else attempts,
        now_ms=asked.received_ms,
        amount=amount,
        regions_present=1.0,
    )
    report(1.0, "inputs ready")
    return table


def snapshot_batches(
    history: History, features: FeatureSet, as_of_ms: int
) -> Iterator[tuple[Entity, list[str], Float64s]]:
    """What the snapshot of a midnight holds: for each entity its ids and their counters.

    Args:
        history: all attempts.
        features: what the snapshot is for.
        as_of_ms: the midnight, ms since the epoch.

    Yields:
        Entity, ids, and counters in the order of the snapshot's rows, shape (ids, counters).
    """
    log = EventLog.marked(history, features)
    for entity in features.batch_entities:
        ids = ids_of(history, entity)
        everyone = np.arange(len(ids.names))
        midnight = np.full(len(ids.names), as_of_ms)
        counters = features.batch_counters_of(entity)
        values = counter_values(counters, log, {entity: ids}, {entity: everyone}, midnight)
        seen = seen_within(
            log,
            ids,
            counters,
            ask=everyone,
            ask_ms=midnight,
            horizon_ms=features.snapshot_horizon_ms(entity),
        )
        rows = np.flatnonzero(seen)
        yield entity, [ids.names[at] for at in rows], values[rows]


def hot_merchants(history: History, features: FeatureSet, as_of_ms: int) -> list[str]:
    """Merchants to watch from a midnight on: enough labels in a week, and a high rate."""
    counters = features.batch_counters_of(Entity.MERCHANT)
    log = EventLog.of_history(history, counters)
    ids = ids_of(history, Entity.MERCHANT)
    everyone = np.arange(len(ids.names))
    midnight = np.full(len(everyone), as_of_ms)
    values = counter_values(
        counters, log, {Entity.MERCHANT: ids}, {Entity.MERCHANT: everyone}, midnight
    )
    wanted = [
        feature
        for name in ("merchant_fraud_7d_eod", "merchant_fraud_rate_28d_eod")
        for feature in features.batch_features
        if feature.name == name
    ]
    unknown = np.full(len(everyone), np.nan)
    week, rate = Formulas(wanted, counters).inputs(values, amount=unknown, now_ms=midnight).T
    hot = np.flatnonzero((week >= HOT_LABELS) & (rate >= HOT_RATE))
    return sorted(ids.names[at] for at in hot)


def _batch(
    asked: History,
    ids: Mapping[Entity, Ids],
    codes: Mapping[Entity, Int64s],
    log: EventLog,
    *,
    table: Table,
    amount: Float64s,
) -> None:
    features = table.features
    counters = features.snapshot_counters
    midnight = asked.day * DAY_MS
    values = counter_values(counters, log, ids, codes, midnight)
    for entity in features.batch_entities:
        of_entity = features.batch_counters_of(entity)
        seen = seen_within(
            log,
            ids[entity],
            of_entity,
            ask=codes[entity],
            ask_ms=midnight,
            horizon_ms=features.snapshot_horizon_ms(entity),
        )
        columns = np.array([counters.index(counter) for counter in of_entity])
        values[np.flatnonzero(~seen)[:, None], columns] = np.nan
        _tell(table, f"{entity}_snapshot_state", codes[entity] >= 0, seen)
    first = len(features.request_numbers)
    formulas = Formulas(features.batch_features, counters)
    table.numbers[:, first : first + len(features.batch_features)] = formulas.inputs(
        values, amount=amount, now_ms=asked.received_ms
    )


def put_streaming(
    table: Table,
    sources: Sequence[Source],
    ids: Mapping[Entity, Ids],
    *,
    rows: Int64s,
    now_ms: Int64s,
    amount: Float64s,
    regions_present: float,
) -> None:
    """Put the streaming inputs of attempts into their rows of inputs, as sources would give them.

    Args:
        table: with the request's inputs, one row an attempt.
        sources: in the order in which they are merged.
        ids: by entity, of every attempt of the history.
        rows: of the attempts in that history, shape (attempts,).
        now_ms: receipt of each attempt.
        amount: of each attempt, reference minor units.
        regions_present: share of the regions that answer each.
    """
    features = table.features
    codes = {entity: ids[entity].code[rows] for entity in features.entities}
    values = merged_values(features.counters, sources, ids, codes, now_ms)
    formulas = Formulas(features.features, features.counters)
    table.numbers[:, -len(features.features) :] = formulas.inputs(
        values, amount=amount, now_ms=now_ms
    )
    table.number(REGIONS_PRESENT)[:] = regions_present
    for entity in features.entities:
        seen = np.zeros(len(rows), dtype=bool)
        for source in sources:
            own = source.answers
            seen[own] |= seen_within(
                source.log,
                ids[entity],
                features.counters_of(entity),
                ask=codes[entity][own],
                ask_ms=now_ms[own],
                horizon_ms=features.horizon_ms(entity),
            )
        _tell(table, f"{entity}_counters_state", codes[entity] >= 0, seen)


def _tell(table: Table, name: str, mapped: Bools, seen: Bools) -> None:
    """Put the states of an entity into the category of that name."""
    states = np.where(seen, InputState.PRESENT.value, InputState.NEVER_SEEN.value)
    table.categories[:, table.features.categories.index(name)] = np.where(
        mapped, states, InputState.NOT_MAPPED.value
    ).astype(object)


def _request(history: History, inputs: Table) -> None:
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
        inputs.number(name)[:] = column
    categories, place = inputs.categories, inputs.features.categories.index
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
        categories[:, place(name)] = table_of[merchants.code]
    for name, source in {
        "channel": "transaction__channel",
        "entry_mode": "transaction__entry_mode",
        "funding": "instrument__funding",
        "issuer_country": "instrument__issuer_country",
        "device_kind": "device__kind",
        "email_domain": "customer__email_domain",
    }.items():
        column = table[source] if source in table.column_names else pa.chunked_array([absent])
        categories[:, place(name)] = _bytes(column)


def _bytes(column: pa.ChunkedArray) -> Objects:
    codes, words = encoded(column)
    names = np.array([*(word.encode() for word in words.to_pylist()), ABSENT], dtype=object)
    values: Objects = names[codes]
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
