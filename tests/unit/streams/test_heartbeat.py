"""How fresh the counters may claim to be."""

from __future__ import annotations

import pytest

from app.ids import EventId
from app.record.frames import Kind, Record
from app.streams.bridged import Bridged
from app.streams.heartbeat import Freshness, heartbeat
from app.streams.interface import StreamGap, StreamUnavailable

HEARTBEATS = "3/65535"


def event(seq, writer=0):
    return Record(EventId(3, writer, 1, seq), Kind.DECISION, 0, b"", b"", 0)


def test_nothing_is_known_without_a_heartbeat():
    assert Freshness(0).after([event(1)], {"3/0": (1, 1)}) == 0


def test_a_heartbeat_counts_once_everything_before_it_is_applied():
    freshness = Freshness(100)
    beat = heartbeat(3, 500, {"3/0": (1, 2), "3/1": (1, 1)})
    assert freshness.after([beat], {"3/0": (1, 1)}) == 100
    assert freshness.after([event(2)], {"3/0": (1, 2)}) == 100
    assert freshness.after([event(1, writer=1)], {"3/0": (1, 2), "3/1": (1, 1)}) == 500


def test_a_backlog_of_heartbeats_becomes_fresh_step_by_step():
    freshness = Freshness(0)
    beats = [heartbeat(3, at_ms, {"3/0": (1, at_ms)}) for at_ms in (1, 2, 3)]
    assert freshness.after(beats, {"3/0": (1, 1)}) == 1
    assert freshness.after([], {"3/0": (1, 2)}) == 2
    assert freshness.after([], {"3/0": (1, 9)}) == 3


def test_a_heartbeat_that_is_delivered_again_sets_nothing_back():
    assert Freshness(900).after([heartbeat(3, 500, {})], {}) == 900


def test_a_heartbeat_does_not_wait_for_other_heartbeats():
    beat = heartbeat(3, 500, {"3/0": (1, 1), HEARTBEATS: (400, 1)})
    assert Freshness(0).after([beat], {"3/0": (1, 1)}) == 500


def test_a_heartbeat_that_cannot_be_read_leaves_the_age_as_it_was(caplog):
    beat = heartbeat(3, 500, {})
    unreadable = Record(beat.id, beat.kind, 0, b"\xc1", b"", 0)
    assert Freshness(100).after([unreadable], {}) == 100
    assert "is no heartbeat known here" in caplog.text


class Scripted:
    """A stream that gives what it is told to, errors among it, and notes where it was rewound."""

    def __init__(self, *replies):
        self.replies, self.rewound = list(replies), []

    def rewind(self, positions):
        self.rewound.append(dict(positions))

    def read(self, _limit):
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return list(reply)


def bridged(stream, journals):
    reader = Bridged(stream, journals, region=3, now_ms=lambda: 700)
    reader.rewind({"3/0": (1, 1)})
    return reader


def test_a_hole_is_gone_over_by_the_journals_and_the_stream_taken_up_behind_it():
    stream = Scripted([event(2)], StreamGap("trimmed"), [event(9)])
    journals = Scripted([event(3), event(4)], [event(5)])
    reader = bridged(stream, journals)
    assert reader.read(3) == [event(2)]
    assert reader.read(3) == [event(3), event(4)]
    last, beat = reader.read(3)
    assert last == event(5)
    assert Freshness(0).after([beat], {"3/0": (1, 5)}) == 700
    assert reader.read(3) == [event(9)]
    assert journals.rewound == [{"3/0": (1, 2)}]
    assert stream.rewound == [{"3/0": (1, 1)}, {"3/0": (1, 5), HEARTBEATS: (700, 1)}]
    assert reader.gaps == 1


def test_a_stream_that_does_not_reach_back_is_begun_in_the_journals():
    class Short(Scripted):
        def rewind(self, positions):
            super().rewind(positions)
            if len(self.rewound) == 1:
                raise StreamGap("not so far")

    stream = Short([])
    reader = bridged(stream, Scripted([event(2)]))
    assert reader.read(10)[0] == event(2)
    assert reader.read(10) == []
    assert reader.gaps == 1


def test_a_stream_that_is_away_is_no_hole():
    reader = bridged(Scripted(StreamUnavailable("away"), [event(2)]), Scripted())
    with pytest.raises(StreamUnavailable):
        reader.read(10)
    assert reader.read(10) == [event(2)]
    assert reader.gaps == 0
