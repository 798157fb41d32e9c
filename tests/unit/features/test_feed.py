"""Batches of events: what is new of them to whom, and what they touch on which shard."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from app.features.counter_store import shard_of
from app.features.feed import BATCH_EVENTS_MAX, Feed
from app.features.reference import REFERENCE
from app.features.spec import Entity
from app.ids import EventId
from app.record.frames import Kind, Record

NOW_MS = 1_700_000_000_000


def record(seq, *, writer=0, epoch=1, card="card_1", at_ms=NOW_MS, kind=Kind.DECISION):
    payload = msgspec.msgpack.encode(
        {
            "tenant": "acme",
            "received_ms": at_ms,
            "amount_ref": 100,
            "entities": {"card": card, "merchant": "shop"},
            "bits": {},
            "action": "approve",
        }
    )
    return Record(EventId(0, writer, epoch, seq), kind, at_ms, payload, b"", 0)


class Given:
    """A stream of what a test gives."""

    def __init__(self, *records):
        self.records = list(records)

    def rewind(self, positions):
        self.positions = positions

    def read(self, limit):
        found, self.records = self.records[:limit], self.records[limit:]
        return found


def feed_of(*records, shards=1):
    return Feed(Given(*records), features=REFERENCE, shards=shards, now_ms=lambda: NOW_MS)


def fresh_of(batch, positions):
    fresh, after = batch.behind(positions)
    return None if fresh is None else fresh.tolist(), after


def test_everything_is_new_to_one_who_has_nothing():
    batch = feed_of(record(1), record(2), record(1, writer=1)).next()
    assert fresh_of(batch, {}) == (None, {"0/0": (1, 2), "0/1": (1, 1)})


def test_what_was_applied_is_not_new_again():
    batch = feed_of(record(1), record(2), record(1, writer=1)).next()
    assert fresh_of(batch, {"0/0": (1, 1)}) == (
        [False, True, True],
        {"0/0": (1, 2), "0/1": (1, 1)},
    )
    assert fresh_of(batch, {"0/0": (2, 1), "0/1": (1, 1), "0/7": (3, 3)}) == (
        [False, False, False],
        {"0/0": (2, 1), "0/1": (1, 1), "0/7": (3, 3)},
    )


def test_what_a_batch_holds_twice_is_new_once():
    batch = feed_of(record(1), record(2), record(1), record(2), record(3)).next()
    assert fresh_of(batch, {}) == ([True, True, False, False, True], {"0/0": (1, 3)})


def test_a_later_epoch_follows_an_earlier_one():
    batch = feed_of(record(9), record(1, epoch=2)).next()
    assert fresh_of(batch, {}) == (None, {"0/0": (2, 1)})


def test_records_that_do_not_count_move_positions_all_the_same():
    batch = feed_of(record(1), record(2, kind=Kind.LABEL)).next()
    assert fresh_of(batch, {}) == (None, {"0/0": (1, 2)})
    assert batch.record.tolist() == [0]


def test_a_batch_is_the_end_of_the_stream_if_the_stream_had_no_more():
    feed = feed_of(*(record(1 + at) for at in range(BATCH_EVENTS_MAX + 1)))
    assert not feed.next().drained
    assert feed.next().drained
    assert len(feed.next().records) == 0


def test_a_feed_knows_how_far_it_has_read():
    feed = feed_of(record(4), record(5, writer=1))
    feed.rewind({"0/0": (1, 3)})
    feed.next()
    assert feed.positions == {"0/0": (1, 4), "0/1": (1, 5)}


def test_the_shards_parts_are_everything_between_them():
    cards = [f"card_{at % 7}" for at in range(20)]
    batch = feed_of(*(record(1 + at, card=card) for at, card in enumerate(cards)), shards=3).next()
    whole = batch.touched[Entity.CARD]
    parts = [whole.part(shard, None) for shard in range(3)]
    for shard, part in enumerate(parts):
        assert {shard_of(name, 3) for name in part.names} <= {shard}
        assert [part.names[row] for row in part.row] == [
            f"acme:card:{cards[event]}" for event in part.event
        ]
    assert sorted(np.concatenate([part.event for part in parts]).tolist()) == list(range(20))


def test_a_part_leaves_out_what_is_not_new_and_keys_that_nothing_changes():
    batch = feed_of(record(1, card="a"), record(2, card="b"), record(3, card="b")).next()
    fresh, _ = batch.behind({"0/0": (1, 2)})
    part = batch.touched[Entity.CARD].part(0, fresh)
    assert (part.names, part.row.tolist(), part.event.tolist()) == (["acme:card:b"], [0], [2])


def test_only_values_that_an_event_changes_are_touched():
    batch = feed_of(record(1)).next()
    assert batch.touched[Entity.CARD].names == ["acme:card:card_1"]
    assert batch.touched[Entity.BIN].names == []  # counts what issuers decline


@pytest.mark.parametrize(("ahead_ms", "counted"), [(300_000, 0), (300_001, 1)])
def test_events_more_than_five_minutes_ahead_are_counted_as_such(ahead_ms, counted):
    feed = feed_of(record(1, at_ms=NOW_MS + ahead_ms))
    batch = feed.next()
    assert feed.ahead == counted
    assert batch.events.at_ms.tolist() == [NOW_MS + ahead_ms]  # at its own time all the same
