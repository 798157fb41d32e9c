"""Training equals serving: the inputs of a history, computed in columns, are those that the
serving path computes attempt by attempt from packed counters and the snapshot."""

import msgspec
import numpy as np
import pytest

from app.api.wire import Attempt
from app.candidate import Candidate, entity_ids
from app.features.packed import distinct_bit, key, layout_of
from app.features.snapshot import load_snapshot, publish_snapshot
from app.features.spec import (
    BATCH,
    CATEGORIES,
    DAY_MS,
    NUMBERS,
    REQUEST_CATEGORIES,
    REQUEST_NUMBERS,
    STREAMING,
    STREAMING_ENTITIES,
    Aggregate,
    Entity,
    horizon_ms,
)
from app.features.vector import BatchFeatures
from app.models.training.history import load_history
from app.models.training.inputs import inputs_of, snapshot_rows

ROWS = 400


@pytest.fixture(scope="module")
def history(trained):
    return load_history(trained / "data")


@pytest.fixture(scope="module")
def table(history):
    return inputs_of(history)


def candidate(history, row, document):
    attempt = msgspec.convert(document, Attempt)
    return Candidate(
        attempt=attempt,
        tenant="t",
        received_ms=int(history.received_ms[row]),
        amount_ref=int(history.amount_ref[row]),
        merchant=history.merchants.get(attempt.merchant.id),
        ids=entity_ids(attempt),
        velocity={},
    )


def test_request_and_batch_inputs_are_the_same_to_the_bit(history, table, tmp_path):
    day = int(history.day[-1]) - 3
    midnight = day * DAY_MS
    version = publish_snapshot(
        tmp_path, tenant="t", rows=snapshot_rows(history, midnight), as_of_ms=midnight
    )
    snapshot = load_snapshot(tmp_path, version)
    features = BatchFeatures(lambda: snapshot, now_ms=lambda: midnight, age_max_ms=float("inf"))
    rows = np.flatnonzero(history.day == day)[:ROWS]
    known = len(REQUEST_NUMBERS) + len(BATCH) + 1
    states = len(REQUEST_CATEGORIES) + 2
    for row, document in zip(rows, history.take(rows).documents(), strict=True):
        served = features.row(candidate(history, row, document))
        np.testing.assert_array_equal(served.numbers, table.numbers[row, :known])
        assert served.categories == table.categories[row, :states].tolist()


def test_streaming_inputs_are_the_same_to_the_bit(history, table):
    """Every event since the start of a three-day window folded into packed values, in order."""
    end = history.received_ms[-1]
    since = int(np.searchsorted(history.received_ms, end - 3 * DAY_MS))
    asked = set(range(len(history) - ROWS, len(history)))
    store: dict[str, np.ndarray] = {}
    first = len(NUMBERS) - len(STREAMING)
    documents = history.take(np.arange(since, len(history))).documents()
    for row, document in enumerate(documents, start=since):
        now = int(history.received_ms[row])
        ids = entity_ids(msgspec.convert(document, Attempt))
        if row in asked and history.received_ms[row - 1] < now:
            numbers, states = read(store, ids, now)
            np.testing.assert_array_equal(
                numbers.astype(np.float32), table.numbers[row, first:], err_msg=str(row)
            )
            assert states == table.categories[row, -len(STREAMING_ENTITIES) :].tolist()
        for entity in STREAMING_ENTITIES:
            if entity in ids:
                fold(store, entity, ids, now, int(history.amount_ref[row]))
    assert CATEGORIES[-1] == "ip_counters_state"


def fold(store, entity, ids, now, amount):
    layout = layout_of(entity)
    name = key("t", entity, ids[entity])
    records = store.setdefault(name, layout.blank(1))
    added = {
        Aggregate.COUNT: lambda counter: 1,
        Aggregate.SUM: lambda counter: amount,
        Aggregate.DISTINCT: lambda counter: distinct_bit(ids[Entity(counter.of)]),
    }
    amounts = [
        np.array([added[counter.aggregate](counter)], dtype=np.uint64)
        for counter in (*layout.additive, *layout.distinct)
    ]
    layout.apply(records, np.zeros(1, dtype=np.int64), np.array([now]), amounts)


def read(store, ids, now):
    numbers, states = np.full(len(STREAMING), np.nan), []
    for entity in STREAMING_ENTITIES:
        if entity not in ids:
            states.append(b"not_mapped")
            continue
        layout = layout_of(entity)
        records = store.get(key("t", entity, ids[entity]), layout.blank(1))
        windows = layout.windows(records, np.array([now]))
        live = windows.base_ms[0] >= now - horizon_ms(entity)
        states.append(b"present" if live else b"never_seen")
        for at, counter in enumerate(layout.additive):
            numbers[STREAMING.index(counter)] = windows.totals[0, at] if live else 0.0
        for at, counter in enumerate(layout.distinct):
            count = int(windows.bitmaps[0, at]).bit_count()
            numbers[STREAMING.index(counter)] = count if live else 0.0
    return numbers, states
