"""Rows of attempts that are gathered together: each its own, and one that is spoilt alone."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from app.api.wire import Attempt
from app.candidate import Candidate, entity_ids
from app.features.directory import MerchantEntry
from app.features.merge import Streaming
from app.features.reference import REFERENCE
from app.features.vector import BatchFeatures, FullFeatures
from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.errors import DeadlineNear, FeaturesStale, SnapshotUnavailable, SourceUnavailable

NOW_MS = 1_783_000_000_000
AGE_MAX_MS = 1_000.0
DEADLINE = Deadline.after(budget_ms=80, clock=ManualClock())
ENTITIES = tuple(REFERENCE.snapshot_columns)
BATCH = len(REFERENCE.batch_inputs.numbers)


class Snapshot:
    """Knows a figure of each card, which is in its id."""

    version = "s1"
    as_of_ms = NOW_MS

    def read_many(self, asks):
        values = np.full((len(asks), len(REFERENCE.snapshot_counters)), np.nan)
        values[:, 0] = [float(ids["card"].split("_")[1]) for _, ids in asks]
        return values, [[b"present" for _ in ENTITIES] for _ in asks]


class Spoilt:
    """A merchant's entry that cannot be used."""

    tier = "new"

    @property
    def category(self):
        raise OSError("bad page")


class Reading:
    """A read of counters under way: gives each attempt the next of what was found."""

    def __init__(self, found, ended):
        self._found, self._ended = found, ended

    async def finish(self):
        self._ended.append(len(self._found))
        return self._found


class Store:
    """Counters that say what they are told to; keeps what it was asked for."""

    def __init__(self):
        self.says = {}
        self.asked = []
        self.ended = []
        self.raises = None

    def begin(self, asks, deadline):
        if self.raises is not None:
            raise self.raises
        self.asked.append(list(asks))
        return Reading([self.says.get(ask.ids["card"], streaming()) for ask in asks], self.ended)


class Bench:
    def __init__(self):
        self.snapshot = Snapshot()
        self.store = Store()
        self.now_ms = NOW_MS
        self.masked = ()
        self.batch = BatchFeatures(
            lambda: self.snapshot,
            features=REFERENCE,
            now_ms=lambda: self.now_ms,
            age_max_ms=AGE_MAX_MS,
        )
        self.full = FullFeatures(
            self.batch, self.store, features=REFERENCE, masked=lambda: self.masked
        )


def streaming(value=0.0, *, regions_present=1.0):
    return Streaming(
        inputs=np.full(len(REFERENCE.features), value),
        states=tuple(b"present" for _ in REFERENCE.entities),
        positions={},
        as_of_ms=NOW_MS,
        age_ms=1,
        regions_present=regions_present,
        regions_least=regions_present,
    )


def candidate(card, *, merchant=None, items=1):
    attempt = msgspec.convert(
        {
            "attempt_id": f"a{card}",
            "amount": {"value": 2_500, "currency": "EUR"},
            "merchant": {"id": "mer_1"},
            "instrument": {"token": f"tok_{card}0000000"},
            "basket": {"items": items},
        },
        Attempt,
    )
    entry = MerchantEntry(tier="new", category="books", country="DE")
    return Candidate(
        attempt=attempt,
        tenant="acme",
        received_ms=NOW_MS,
        amount_ref=2_500,
        merchant=merchant or entry,
        ids=entity_ids(attempt),
        velocity={},
    )


def same(one, other):
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert one.categories == other.categories
    assert (one.snapshot_version, one.large) == (other.snapshot_version, other.large)


@pytest.fixture
def bench():
    return Bench()


def test_rows_are_those_of_each_attempt_alone_in_order(bench):
    candidates = [candidate(card, items=card) for card in (3, 1, 2)]
    together = bench.batch.rows(candidates)
    for row, one in zip(together, candidates, strict=True):
        (alone,) = bench.batch.rows([one])
        same(row, alone)
    assert len({row.numbers.tobytes() for row in together}) == 3


def test_a_candidate_that_spoils_the_batch_fails_alone(bench):
    candidates = [candidate(1), candidate(2, merchant=Spoilt()), candidate(3)]
    first, spoilt, third = bench.batch.rows(candidates)
    assert isinstance(spoilt, OSError)
    for row, one in ((first, candidates[0]), (third, candidates[2])):
        same(row, *bench.batch.rows([one]))


def test_several_that_are_spoilt_each_have_their_own_error(bench):
    candidates = [candidate(at, merchant=Spoilt()) for at in range(3)]
    errors = bench.batch.rows(candidates)
    assert [type(error) for error in errors] == [OSError] * 3
    assert len(set(map(id, errors))) == 3


async def test_a_snapshot_that_cannot_be_used_is_why_nobody_has_a_row(bench):
    bench.now_ms += AGE_MAX_MS + 1
    with pytest.raises(FeaturesStale):
        await bench.batch.read([candidate(1)], DEADLINE)
    bench.snapshot = None
    for read in (bench.batch.read, bench.full.read):
        with pytest.raises(SnapshotUnavailable):
            await read([candidate(1), candidate(2)], DEADLINE)
    assert bench.store.asked == []


async def test_counters_of_all_attempts_are_asked_for_at_once_and_each_row_has_its_own(bench):
    candidates = [candidate(card) for card in (3, 1, 2)]
    cards = [one.ids["card"] for one in candidates]
    bench.store.says = {card: streaming(at + 10.0) for at, card in enumerate(cards)}
    rows = await bench.full.read(candidates, DEADLINE)
    assert [[ask.ids["card"] for ask in asked] for asked in bench.store.asked] == [cards]
    for at, (row, base) in enumerate(zip(rows, bench.batch.rows(candidates), strict=True)):
        np.testing.assert_array_equal(row.numbers[:BATCH], base.numbers)
        assert set(row.numbers[-len(REFERENCE.features) :].tolist()) == {at + 10.0}
        assert row.streaming is bench.store.says[cards[at]]


async def test_an_attempt_without_counters_has_no_row_and_the_others_theirs(bench):
    candidates = [candidate(card) for card in (1, 2, 3)]
    gone = SourceUnavailable("gone")
    bench.store.says = {candidates[1].ids["card"]: gone, candidates[2].ids["card"]: streaming(7.0)}
    first, second, third = await bench.full.read(candidates, DEADLINE)
    assert second is gone
    assert (first.numbers[-1], third.numbers[-1]) == (0.0, 7.0)


async def test_an_attempt_that_is_spoilt_beside_its_counters_has_no_row_and_the_others_theirs(
    bench,
):
    candidates = [candidate(1), candidate(2, merchant=Spoilt()), candidate(3)]
    first, second, third = await bench.full.read(candidates, DEADLINE)
    assert isinstance(second, OSError)
    assert (first.streaming is None, third.streaming is None) == (False, False)


async def test_what_is_missing_of_the_counters_is_each_attempt_s_own(bench):
    candidates = [candidate(1), candidate(2)]
    bench.store.says = {candidates[1].ids["card"]: streaming(regions_present=0.75)}
    first, second = await bench.full.read(candidates, DEADLINE)
    assert first.streaming is not None
    assert isinstance(second, SourceUnavailable)
    assert "regions" in str(second)
    bench.masked = ("regions",)
    _, second = await bench.full.read(candidates, DEADLINE)
    assert second.streaming.missing == {"regions"}


async def test_where_nobody_has_counters_nobody_has_a_row(bench):
    gone = SourceUnavailable("gone")
    candidates = [candidate(1), candidate(2)]
    bench.store.says = {one.ids["card"]: gone for one in candidates}
    assert await bench.full.read(candidates, DEADLINE) == [gone, gone]


async def test_too_little_time_is_why_nobody_has_a_row(bench):
    bench.store.raises = DeadlineNear("no time")
    with pytest.raises(DeadlineNear):
        await bench.full.read([candidate(1), candidate(2)], DEADLINE)
    assert bench.store.ended == []
