"""Training equals serving: the inputs of a history, computed in columns, are those that the
serving path computes attempt by attempt from packed counters and the snapshot."""

import msgspec
import numpy as np
import pytest

from app.api.wire import Attempt
from app.candidate import Candidate, entity_ids
from app.features.applier import Applied
from app.features.countable import Countable, events_of
from app.features.events import Counted
from app.features.merge import Ask, Merge, MergePlan, Reply
from app.features.packed import distinct_bit, key, layouts_of
from app.features.reference import REFERENCE
from app.features.snapshot import load_snapshot, publish_snapshot
from app.features.spec import DAY_MS, Entity
from app.features.vector import BatchFeatures, amount_of, is_large
from app.models.training.counters import EventLog
from app.models.training.history import ids_of, load_history
from app.models.training.inputs import inputs_of, snapshot_batches
from app.models.training.regions import RegionsAway
from fallback.errors import DependencyTimeout

PLAN = MergePlan(REFERENCE)
ROWS = 400
MERCHANTS = 20
EVERY_KIND = (
    Counted.ATTEMPTED
    | Counted.LARGE
    | Counted.AUTHORISED
    | Counted.ISSUER_DECLINED
    | Counted.CAPTURED
    | Counted.REVERSED
    | Counted.REFUNDED
    | Counted.FRAUD
    | Counted.NOT_FRAUD
    | Counted.FRAUD_WITHDRAWN
)


@pytest.fixture(scope="module")
def history(trained):
    """All that ever happened at the merchants with the most fraud."""
    whole = load_history(trained / "data")
    merchant = ids_of(whole, Entity.MERCHANT).code
    worst = np.argsort(-np.bincount(merchant, weights=whole.fraud))[:MERCHANTS]
    return whole.take(np.flatnonzero(np.isin(merchant, worst)))


@pytest.fixture(scope="module")
def table(history):
    return inputs_of(history, REFERENCE)


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
        tmp_path,
        tenant="t",
        schema=REFERENCE.schema,
        columns=REFERENCE.snapshot_columns,
        batches=snapshot_batches(history, REFERENCE, midnight),
        as_of_ms=midnight,
    )
    snapshot = load_snapshot(tmp_path, version, features=REFERENCE)
    served_by = BatchFeatures(
        lambda: snapshot, features=REFERENCE, now_ms=lambda: midnight, age_max_ms=float("inf")
    )
    numbers, categories = (
        len(REFERENCE.batch_inputs.numbers),
        len(REFERENCE.batch_inputs.categories),
    )
    rows = np.flatnonzero(history.day == day)[:ROWS]
    documents = history.take(rows).documents()
    candidates = [candidate(history, *both) for both in zip(rows, documents, strict=True)]
    for row, served in zip(rows, served_by.rows(candidates), strict=True):
        np.testing.assert_array_equal(served.numbers, table.numbers[row, :numbers])
        assert served.categories == table.categories[row, :categories].tolist()


class Counters:
    """Packed values, folded event by event, and read as a scorer reads them."""

    def __init__(self):
        self.readers = layouts_of(REFERENCE)
        self.values = {}

    def fold(self, ids, what, at_ms, amount):
        bits = {
            entity: distinct_bit(ids[entity]) for entity in REFERENCE.told_apart if entity in ids
        }
        events = events_of([Countable("t", at_ms, what, amount, ids, bits)], REFERENCE.told_apart)
        for entity, reader in self.readers.items():
            if entity in ids and what & reader.layout.counts:
                name = key("t", entity, ids[entity])
                records = self.values.setdefault(name, reader.layout.blank(1))
                reader.layout.apply(records, np.zeros(1, dtype=np.int64), events)

    def read(self, ids, amount, now_ms):
        return read_merged([self], ids, amount, now_ms)

    def reply(self, names, now_ms):
        held = self.values
        found = [held[name].tobytes() if name in held else None for name in names]
        own = Applied(generation="g", ready=True, as_of_ms=now_ms, positions={})
        return Reply("here", found, (own,))


def read_merged(sources, ids, amount, now_ms):
    """One read of several stores; None is one that fails."""
    merge = Merge(PLAN, [Ask("t", ids, amount)])
    for source in sources:
        failed = Reply("there", [], (DependencyTimeout("25 ms", dependency="there"),))
        merge.add(failed if source is None else source.reply(merge.names(), now_ms))
    return merge.results(now_ms)[0]


def test_streaming_inputs_are_the_same_to_the_bit(history, table):
    """Attempts, outcomes, labels and what was taken back of them, in order of receipt."""
    log = EventLog.of_history(history)
    order = np.argsort(log.known_ms, kind="stable")
    documents = history.documents()
    counters = Counters()
    asked, compared = set(range(len(history) - ROWS, len(history))), 0
    ratios = REFERENCE.numbers.index("amount_to_card_mean_eod")
    streaming = len(REFERENCE.features)
    folded = Counted.NOTHING
    for event in order[log.known_ms[order] <= history.received_ms[-1]]:
        row, at_ms, what = int(log.attempt[event]), int(log.at_ms[event]), int(log.what[event])
        known = candidate(history, row, documents[row])
        if what & Counted.ATTEMPTED:
            served = counters.read(known.ids, amount_of(known), at_ms)
            ratio = served.inputs[[f.name for f in REFERENCE.features].index("amount_to_card_mean")]
            if is_large(float(ratio), float(table.numbers[row, ratios])):
                what |= Counted.LARGE
            if row in asked and history.received_ms[row - 1] < at_ms:
                compared += 1
                np.testing.assert_array_equal(
                    served.inputs, table.numbers[row, -streaming:], err_msg=str(row)
                )
                states = table.categories[row, -len(REFERENCE.entities) :].tolist()
                assert list(served.states) == states
        counters.fold(known.ids, what, at_ms, int(history.amount_ref[row]))
        folded |= Counted(what)
    assert compared > ROWS * 0.9
    assert EVERY_KIND & ~folded == Counted.NOTHING


def test_inputs_with_a_region_away_are_the_same_to_the_bit(history, table):
    """Three regions' stores, read while each of them fails in turn."""
    log = EventLog.marked(history, REFERENCE)
    away = RegionsAway(history, REFERENCE)
    received, asked = away.received, np.arange(len(history) - ROWS, len(history))
    assert (received.regions, received.drawn) == (3, False)
    trained_on = away.each(table, asked)
    documents = history.documents()
    stores = [Counters() for _ in range(received.regions)]
    compared, differ, less_known = 0, 0, 0
    order = np.argsort(log.known_ms, kind="stable")
    for event in order[log.known_ms[order] <= history.received_ms[-1]]:
        row, at_ms, what = int(log.attempt[event]), int(log.at_ms[event]), int(log.what[event])
        known = candidate(history, row, documents[row])
        if what & Counted.ATTEMPTED and row >= asked[0] and history.received_ms[row - 1] < at_ms:
            for gone, copies in enumerate(trained_on):
                sources = [None if at == gone else one for at, one in enumerate(stores)]
                served = read_merged(sources, known.ids, amount_of(known), at_ms)
                assert served.missing == {"regions"}
                present = np.float32(served.regions_present)
                copy, states = row - asked[0], -len(REFERENCE.entities)
                np.testing.assert_array_equal(
                    np.array([present, *served.inputs]),
                    copies.numbers[copy, -len(REFERENCE.features) - 1 :],
                    err_msg=f"{row} without {gone}",
                )
                assert list(served.states) == copies.categories[copy, states:].tolist()
                compared += 1
                differ += not np.array_equal(copies.numbers[copy], table.numbers[row], True)
                less_known += copies.categories[copy].tolist() != table.categories[row].tolist()
        stores[received.region[row]].fold(known.ids, what, at_ms, int(history.amount_ref[row]))
    assert compared > 3 * ROWS * 0.9
    # Where nothing of a row depends on the region, nothing but the share differs.
    assert differ == compared
    assert less_known > 0
