"""From the journals to the stream: order, heartbeats, a checkpoint, and nothing lost on the way."""

from __future__ import annotations

import msgspec
import pytest

from app.record.backlog import backlog_of
from app.record.checkpoint import Checkpoint, Place, load_checkpoint, save_checkpoint
from app.record.frames import Kind
from app.record.journal import open_journal
from app.record.publishing import BATCH_EVENTS_MAX, HEARTBEAT_S, Publishing
from app.record.target import FAILURES_TO_OPEN, Target, TargetDown
from app.streams.heartbeat import KIND, WRITER, Freshness
from app.streams.interface import StreamTailLost, StreamUnavailable
from app.streams.journal_tail import JournalTail
from fallback.clock import ManualClock

REGION = 3


class Stream:
    """A publisher that keeps what it took, and fails when told to."""

    def __init__(self):
        self.took, self.errors, self.calls = [], [], 0

    def publish(self, records):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.took += records

    @property
    def seqs(self):
        return [record.id.seq for record in self.took if record.id.writer != WRITER]

    @property
    def beats(self):
        return [record for record in self.took if record.kind == KIND]


class Host:
    """A journal, a stream, and the half of a shipper between them."""

    def __init__(self, folder):
        self.folder = folder
        self.journal = open_journal(folder, region=REGION, fsync_ms=0)
        self.stream, self.clock = Stream(), ManualClock()
        self.target = Target(
            "stream", down=StreamUnavailable, answers=(StreamTailLost,), open_s=0.05
        )
        self.start(Checkpoint())

    def start(self, checkpoint):
        self.publishing = Publishing(
            JournalTail(self.folder),
            self.stream,
            self.target,
            checkpoint,
            region=REGION,
            clock=self.clock,
            journaled_ms=lambda: int(self.clock.monotonic() * 1_000) + 1,
        )

    def append(self, count):
        for _ in range(count):
            self.journal.append(Kind.DECISION, b"a decision")

    def step(self):
        self.clock.advance(HEARTBEAT_S)
        return self.publishing.step()

    def backlog(self):
        publishing = self.publishing
        return backlog_of(
            self.folder,
            publishing.published,
            region=REGION,
            event_bytes=publishing.event_bytes,
        )


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "journal")
    yield host
    host.journal.close()


def test_what_is_appended_is_published_in_order_and_marked_by_a_heartbeat(host):
    host.append(5)
    assert host.step() == 5
    assert host.stream.seqs == [1, 2, 3, 4, 5]
    (beat,) = host.stream.beats
    assert Freshness(0).after([beat], {"3/0": (1, 4)}) == 0
    assert Freshness(0).after([beat], {"3/0": (1, 5)}) == 251


def test_heartbeats_go_on_without_events_and_not_more_often_than_needed(host):
    for _ in range(3):
        host.step()
    host.publishing.step()
    assert len(host.stream.beats) == 3


def test_there_is_no_heartbeat_while_the_journals_have_more(host):
    host.append(BATCH_EVENTS_MAX)
    assert host.step() == BATCH_EVENTS_MAX
    assert not host.stream.beats
    assert host.step() == 0
    assert len(host.stream.beats) == 1


def test_a_stream_that_is_down_gets_the_same_batch_until_it_takes_it(host):
    host.append(3)
    host.stream.errors = [StreamUnavailable("refused")] * 2
    for _ in range(2):
        with pytest.raises(TargetDown, match="refused"):
            host.step()
    host.append(2)
    assert host.target.last_error == "refused"
    assert host.step() == 3
    assert host.step() == 2
    assert host.stream.seqs == [1, 2, 3, 4, 5]
    assert (host.target.failures, host.target.last_error) == (2, "")


def test_a_stream_that_stays_down_is_not_asked_all_the_time(host):
    host.append(1)
    host.stream.errors = [StreamUnavailable("refused")] * 99
    for _ in range(20):
        with pytest.raises(TargetDown):
            host.step()
    assert host.stream.calls == FAILURES_TO_OPEN
    assert host.target.state == "open"


def test_a_heartbeat_of_a_batch_that_waited_says_when_it_was_read(host):
    host.stream.errors = [StreamUnavailable("refused")]
    with pytest.raises(TargetDown):
        host.step()
    host.append(1)
    host.clock.advance(60)
    assert host.publishing.step() == 0
    (beat,) = host.stream.beats
    assert beat.written_ms == 251
    assert host.publishing.behind_s == 60


def test_a_stream_that_lost_its_tail_is_filled_again_from_there(host):
    host.append(6)
    host.step()
    host.stream.errors = [StreamTailLost({"3/0": (1, 2), "3/65535": (0, 0)})]
    host.append(1)
    assert host.step() == 0
    assert host.step() == 5
    assert host.stream.seqs == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7]
    assert host.publishing.tails_lost == 1
    assert host.target.state == "closed"


def test_a_shipper_goes_on_from_its_checkpoint(host, tmp_path):
    host.append(4)
    host.step()
    path = tmp_path / "shipper" / "checkpoint.json"
    save_checkpoint(path, host.publishing.checkpoint)
    host.append(2)
    host.start(load_checkpoint(path))
    assert host.step() == 2
    assert host.stream.seqs == [1, 2, 3, 4, 5, 6]


def test_a_missing_or_damaged_checkpoint_begins_anew(tmp_path):
    path = tmp_path / "checkpoint.json"
    assert load_checkpoint(path) == Checkpoint()
    path.write_bytes(b"{")
    assert load_checkpoint(path) == Checkpoint()


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoint = Checkpoint(published={"3/0": Place(2, 9, 640), "3/65535": Place(77, 1)})
    save_checkpoint(tmp_path / "checkpoint.json", checkpoint)
    assert load_checkpoint(tmp_path / "checkpoint.json") == checkpoint
    assert msgspec.json.decode((tmp_path / "checkpoint.json").read_bytes())


def test_the_backlog_is_what_lies_behind_the_last_published_event(host):
    host.append(10)
    assert host.backlog().bytes == 10 * 66
    host.step()
    assert host.backlog().bytes == 0
    host.append(3)
    assert (host.backlog().events, host.backlog().bytes) == (3, 3 * 66)
