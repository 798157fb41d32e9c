from __future__ import annotations

import msgspec
import pytest

from app.ids import EventId
from app.record.frames import Kind, Record
from app.streams.envelope import (
    RUN_BYTES_MAX,
    RUN_EVENTS_MAX,
    Follower,
    Unreadable,
    decode,
    encode,
    runs_of,
)
from app.streams.interface import StreamGap


def record(seq, *, epoch=1, writer=0, kind=Kind.DECISION, payload=b"payload"):
    return Record(EventId(3, writer, epoch, seq), kind, 1_000 + seq, payload, bytes(32), 0)


def entries(records, published=None, writer="3/0"):
    return [encode(run) for run in runs_of(records, published or {})[writer]]


def test_records_come_back_as_they_were():
    made = [record(1), record(2, kind=Kind.LABEL), record(3, kind=200)]
    (entry,) = entries(made)
    assert decode(entry).behind((0, 0)) == made


def test_a_kind_that_is_known_comes_back_as_one():
    (entry,) = entries([record(1, kind=Kind.OUTCOME)])
    assert isinstance(decode(entry).behind((0, 0))[0].kind, Kind)


def test_fields_and_elements_of_a_later_release_are_passed_over():
    fields = msgspec.msgpack.decode(entries([record(1)])[0])
    fields["trace"] = "of a later release"
    fields["events"][0].append("as well")
    assert decode(msgspec.msgpack.encode(fields)).behind((0, 0)) == [record(1)]


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"events": []}, {"after": "nothing"}, {"events": [[1, 2]]}]
)
def test_what_would_be_misread_is_refused(change):
    fields = msgspec.msgpack.decode(entries([record(1)])[0]) | change
    with pytest.raises(Unreadable):
        decode(msgspec.msgpack.encode(fields))


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(Unreadable):
        decode(b"\xc1")


def test_runs_hold_one_writer_each_in_its_order():
    runs = runs_of([record(1), record(1, writer=1), record(2), record(2, writer=1)], {})
    assert {name: [run.last for run in mine] for name, mine in runs.items()} == {
        "3/0": [(1, 2)],
        "3/1": [(1, 2)],
    }


def test_each_run_names_the_event_before():
    made = [record(seq) for seq in range(1, 2 * RUN_EVENTS_MAX + 2)]
    runs = runs_of(made, {})["3/0"]
    assert [len(run.events) for run in runs] == [RUN_EVENTS_MAX, RUN_EVENTS_MAX, 1]
    assert [run.after for run in runs] == [(0, 0), (1, RUN_EVENTS_MAX), (1, 2 * RUN_EVENTS_MAX)]


def test_a_run_is_cut_by_size():
    made = [record(seq, payload=bytes(RUN_BYTES_MAX // 2)) for seq in range(1, 6)]
    assert [len(run.events) for run in runs_of(made, {})["3/0"]] == [2, 2, 1]


def test_a_record_that_is_too_long_by_itself_is_a_run_of_its_own():
    made = [record(1), record(2, payload=bytes(3 * RUN_BYTES_MAX)), record(3)]
    assert [len(run.events) for run in runs_of(made, {})["3/0"]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("published", "epoch", "seq", "after"),
    [
        ((1, 4), 1, 5, (1, 4)),
        ((1, 4), 1, 9, (1, 4)),  # the journal lost some
        ((1, 4), 2, 1, (1, 4)),
        ((1, 4), 1, 3, (1, 2)),  # published again
        ((2, 4), 2, 1, (0, 0)),
        ((0, 0), 1, 9, (1, 8)),  # nothing is known
        ((0, 0), 7, 1, (0, 0)),
    ],
)
def test_what_a_run_follows(published, epoch, seq, after):
    (run,) = runs_of([record(seq, epoch=epoch)], {"3/0": published})["3/0"]
    assert run.after == after


def test_a_follower_gives_each_event_once():
    made = [record(seq) for seq in range(1, 8)]
    follower = Follower({})
    found = []
    for start, end in ((0, 3), (0, 3), (1, 5), (3, 4), (5, 7)):
        for entry in entries(made[start:end]):
            found += follower.take(entry)
    assert found == made
    assert follower.positions == {"3/0": (1, 7)}


def test_a_follower_starts_behind_its_positions():
    (entry,) = entries([record(seq) for seq in range(1, 6)])
    assert [r.id.seq for r in Follower({"3/0": (1, 3)}).take(entry)] == [4, 5]
    assert Follower({"3/0": (2, 1)}).take(entry) == []


def test_a_follower_stops_at_a_missing_run():
    with pytest.raises(StreamGap, match=r"3/0 goes on behind \(1, 2\), not \(0, 0\)"):
        Follower({}).take(entries([record(3)])[0])


def test_a_follower_notices_the_lost_end_of_an_epoch():
    (entry,) = entries([record(1, epoch=2)], {"3/0": (1, 9)})
    with pytest.raises(StreamGap):
        Follower({"3/0": (1, 8)}).take(entry)
    assert len(Follower({"3/0": (1, 9)}).take(entry)) == 1


def test_a_follower_does_not_pass_over_what_it_cannot_read():
    with pytest.raises(StreamGap, match="cannot be read"):
        Follower({}).take(b"")
