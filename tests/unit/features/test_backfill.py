"""What a backfill reads of history, and how it folds that."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.features import backfill
from app.features.backfill_plan import Plan, plan_of
from app.features.blocks import Events
from app.features.countable import countable
from app.features.events import Counted
from app.features.packed import key, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import DAY_MS, Entity
from app.history.columns import arrow_schema
from app.history.counted import CountedHistory, checkpoint_of
from app.history.counted_columns import OfKeys
from app.history.files import Checkpoint, HistoryError, HistoryFiles
from app.history.rows import row_of
from app.ids import EventId
from app.record.decision import DecisionRecord, encode
from app.record.effect import Effect, encode_effect
from app.record.frames import Kind, Record

START_MS = 1_767_225_600_000  # 2026-01-01
CARD = layouts_of(REFERENCE)[Entity.CARD].layout
DEVICE = layouts_of(REFERENCE)[Entity.DEVICE].layout
ALL = {"0/0": (9, 0)}


def decision(seq, *, epoch=1, at_ms=START_MS, card="c", action="approve", large=False, tenant="t"):
    made = DecisionRecord(
        tenant=tenant, decision_id="dec", attempt_id="att", received_ms=at_ms, as_of_ms=at_ms,
        request=b"{}", amount_ref=100 + seq, entities={} if card is None else {"card": card},
        bits={"device": 4}, merchant={}, large=large, action=action, ranking=0.0, rung="rules",
        not_higher={}, reasons=[], versions={}, deadline_ms=80, took_ms=1.0,
    )  # fmt: skip
    return record(seq, Kind.DECISION, encode(made), epoch)


def effect(seq, *, what="fraud", at_ms=START_MS):
    made = Effect(
        tenant="t", of="0/0/1/1", what=what, at_ms=at_ms, received_ms=at_ms, decision_id="dec",
        attempt_id="att", attempted_ms=at_ms, amount_ref=7, entities={"card": "c"},
    )  # fmt: skip
    return record(seq, Kind.EFFECT, encode_effect(made), 1)


def record(seq, kind, payload, epoch):
    return Record(EventId(0, 0, epoch, seq), kind, START_MS, payload, b"", 0)


class Folder:
    """A history folder, written flush by flush."""

    def __init__(self, path):
        self.path = path
        self.files = HistoryFiles(path, rows_max=1_000)
        self.checkpoint = self.files.resume()

    def keep(self, *records):
        rows = {}
        for one in records:
            table, row = row_of(one)
            day = np.datetime64(row["received_ms"], "ms").astype("M8[D]").item().isoformat()
            rows.setdefault((table, day), []).append(row)
        self.checkpoint = Checkpoint(
            flush=self.checkpoint.flush + 1,
            positions={"0/0": (records[-1].id.epoch, records[-1].id.seq)},
        )
        tables = {of: pa.Table.from_pylist(r, arrow_schema(of[0])) for of, r in rows.items()}
        self.files.commit(tables, self.checkpoint)

    def read(self, positions=None, *, layout=CARD, since_ms=0, part=0, parts=1):
        history = CountedHistory(self.path, positions or self.checkpoint.positions)
        return history.of(layout, since_ms=since_ms, part=part, parts=parts)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "history")


def test_rows_of_history_count_as_the_journal_s_records_do(folder):
    actions = ("approve", "step_up", "decline", "of a release to come")
    records = [
        decision(1 + at, action=action, large=at % 2 == 0) for at, action in enumerate(actions)
    ]
    kinds = [kind.name.lower() for kind in Counted if kind.name and kind & CARD.counts]
    records += [effect(10 + at, what=kind) for at, kind in enumerate(kinds)]
    folder.keep(*records)
    counted = [one for one in map(countable, records) if one.what & CARD.counts]
    found = folder.read()
    assert found.names == [key("t", Entity.CARD, "c")]
    assert found.events.what.tolist() == [one.what for one in counted]
    assert found.events.amount.tolist() == [one.amount_ref for one in counted]
    assert found.events.at_ms.tolist() == [one.at_ms for one in counted]
    bits = [one.bits.get(Entity.DEVICE, 0) for one in counted]
    assert found.events.bits[Entity.DEVICE].tolist() == bits


def test_an_event_that_changes_no_value_makes_none(folder):
    folder.keep(decision(1, card=None), effect(2, what="captured"), effect(3, what="unheard_of"))
    assert folder.read().names == []
    assert folder.read(layout=DEVICE).names == []


def test_events_behind_the_positions_are_passed_over(folder):
    folder.keep(decision(1), decision(2), decision(3))
    folder.keep(decision(1, epoch=2), decision(2, epoch=2))
    for position, amounts in {
        (0, 0): [],
        (1, 2): [101, 102],
        (1, 3): [101, 102, 103],
        (2, 1): [101, 102, 103, 101],
    }.items():
        assert folder.read({"0/0": position}).events.amount.tolist() == amounts
    assert folder.read({"0/1": (1, 3)}).names == []


def test_events_from_before_the_horizon_are_left_out(folder):
    folder.keep(decision(1), decision(2, at_ms=START_MS + DAY_MS), decision(3, at_ms=START_MS + 5))
    assert folder.read(since_ms=START_MS + 5).events.amount.tolist() == [103, 102]
    assert CountedHistory(folder.path, ALL).rows_since(START_MS + DAY_MS) == 1


def test_the_parts_of_all_shards_hold_every_key_once(folder):
    folder.keep(
        *(decision(1 + at, card=f"card_{at % 40}", tenant=f"t{at % 2}") for at in range(90))
    )
    parts = [folder.read(part=part, parts=6) for part in range(6)]
    names = [name for part in parts for name in part.names]
    assert len(names) == len(set(names)) == len(folder.read().names) == 40
    assert sum(len(part.row) for part in parts) == 90
    # Parts 1, 3 and 5 of six are shard 1 of two.
    odd = {name for part in parts[1::2] for name in part.names}
    assert odd == set(folder.read(part=1, parts=2).names)


def test_a_file_that_is_committed_is_read_before_it_has_its_name(folder, tmp_path):
    folder.keep(decision(1))
    (first,) = tmp_path.glob("history/decisions/*/*.parquet")
    before = first.read_bytes()
    folder.keep(decision(2))
    first.rename(first.with_name(f"{first.name}.2.part"))
    assert folder.read().events.amount.tolist() == [101, 102]
    first.write_bytes(before)
    assert folder.read().events.amount.tolist() == [101, 102]
    first.with_name(f"{first.name}.2.part").rename(first.with_name(f"{first.name}.3.part"))
    assert folder.read().events.amount.tolist() == [101]


def test_a_column_that_a_file_was_written_without_reads_as_nothing(folder, tmp_path):
    folder.keep(decision(1, large=True))
    (file,) = tmp_path.glob("history/decisions/*/*.parquet")
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["large", "device_bit"]), file)
    found = folder.read()
    assert found.events.what.tolist() == [Counted.ATTEMPTED]
    assert found.events.bits[Entity.DEVICE].tolist() == [0]


def test_a_history_without_its_checkpoint_is_none(folder, tmp_path):
    assert checkpoint_of(tmp_path / "nowhere") == Checkpoint()
    folder.keep(decision(1))
    checkpoint = folder.path / "checkpoint.json"
    checkpoint.write_bytes(json.dumps({"flush": "one"}).encode())
    with pytest.raises(HistoryError, match="cannot be read"):
        checkpoint_of(folder.path)
    checkpoint.unlink()
    with pytest.raises(HistoryError, match="is gone"):
        checkpoint_of(folder.path)


def test_what_is_kept_is_as_of_the_newest_event_and_never_of_the_future(folder):
    newest_ms = START_MS + DAY_MS
    folder.keep(decision(1), effect(2, at_ms=newest_ms))

    def as_of_ms(now_ms):
        plan = plan_of(folder.path, REFERENCE, 0, 1, now_ms=now_ms, events_max=10)
        return plan.as_of_ms

    assert as_of_ms(newest_ms + DAY_MS) == newest_ms
    assert as_of_ms(newest_ms - 1) == newest_ms - 1


def test_steps_are_as_many_as_memory_asks_for(folder):
    folder.keep(*(decision(1 + at) for at in range(100)))

    def parts(shards, events_max):
        now_ms = START_MS + DAY_MS
        plan = plan_of(folder.path, REFERENCE, 0, shards, now_ms=now_ms, events_max=events_max)
        return plan.parts

    assert [parts(1, 100), parts(1, 99), parts(2, 25), parts(3, 1_000)] == [1, 2, 2, 1]


def test_a_plan_is_taken_up_only_for_the_same_store_and_a_history_that_goes_as_far():
    plan = Plan(
        generation="g", schema=2, shard=0, shards=2, parts=3, as_of_ms=5, positions={"0/0": (1, 9)}
    )
    later = msgspec.structs.replace(plan, generation="h", positions={"0/0": (2, 1), "0/1": (1, 1)})
    assert plan.fits(later)
    assert not later.fits(plan)
    for change in ({"schema": 3}, {"shard": 1}, {"shards": 3}):
        assert not plan.fits(msgspec.structs.replace(later, **change))


def test_values_do_not_depend_on_how_events_are_cut():
    rng = np.random.default_rng(3)
    count = 2 * backfill.EVENTS_AT_ONCE + 7
    names = [f"t:card:{at}" for at in range(backfill.VALUES_BYTES // CARD.size + 5)]
    events = Events(
        at_ms=START_MS + rng.integers(0, 40 * DAY_MS, count),
        what=rng.choice([1, 3, 9], count),
        amount=rng.integers(1, 50_000, count),
        bits={Entity.DEVICE: np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)},
    )
    # Half of the events are of one key.
    row = np.where(rng.random(count) < 0.5, 1, rng.integers(0, len(names), count))
    expected = CARD.blank(len(names))
    CARD.apply(expected, row, events)
    folded = list(backfill._folded(CARD, OfKeys(names=names, row=row, events=events)))
    assert len(folded) > 1
    assert [name for some, _ in folded for name in some] == names
    assert [value for _, values in folded for value in values] == CARD.encode(expected)
