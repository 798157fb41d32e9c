"""Recording: a journal that fails costs records, is tried again, and never costs an answer."""

from __future__ import annotations

import logging

import pytest

from app.ids import locate
from app.record.decision import DecisionRecord, Encoded, decode_record, encode
from app.record.frames import Kind
from app.record.gap import Gap, decode_gap
from app.record.journal import JournalUnavailable
from app.record.recorder import NO_WRITER, RETRY_S, Recorder
from fallback.clock import ManualClock

RECORD = DecisionRecord(
    tenant="acme",
    decision_id="dec_1",
    attempt_id="a1",
    received_ms=1,
    as_of_ms=1,
    request=b"{}",
    amount_ref=1,
    entities={},
    bits={},
    merchant={},
    action="approve",
    ranking=0.0,
    rung="rules",
    not_higher={},
    reasons=[],
    versions={},
    deadline_ms=80,
    took_ms=1.0,
)

ENCODED = Encoded(RECORD.received_ms, encode(RECORD))


class FakeJournal:
    """Takes records until told not to."""

    writer = 3

    def __init__(self):
        self.records = []
        self.full = False
        self.closed = False

    def append(self, kind, payload):
        if self.full:
            raise JournalUnavailable("the disk is full")
        self.records.append((kind, payload))

    def append_all(self, kind, payloads):
        for payload in payloads:
            self.append(kind, payload)

    def close(self):
        self.closed = True
        if self.full:
            raise OSError("the disk is full")


class Disk:
    """Opens journals until told not to."""

    def __init__(self):
        self.opened = []
        self.refuses = False

    def open(self):
        if self.refuses:
            raise JournalUnavailable("read-only file system")
        self.opened.append(FakeJournal())
        return self.opened[-1]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def disk():
    return Disk()


def test_a_decision_is_appended_and_counted(disk, clock):
    recorder = Recorder(disk.open, region=2, clock=clock)
    assert recorder.write([ENCODED])
    ((kind, payload),) = disk.opened[0].records
    assert kind is Kind.DECISION
    assert decode_record(payload) == RECORD
    assert (recorder.written, recorder.missing) == (1, 0)
    assert recorder.healthy


def test_a_journal_that_takes_nothing_costs_the_record_and_says_so(disk, clock, caplog):
    recorder = Recorder(disk.open, region=2, clock=clock)
    disk.opened[0].full = True
    with caplog.at_level(logging.ERROR):
        assert not recorder.write([ENCODED])
    assert (recorder.written, recorder.missing) == (0, 1)
    assert not recorder.healthy
    assert "decisions go on without a record: the disk is full" in caplog.text


def test_decisions_of_one_moment_are_appended_together_and_missed_together(disk, clock):
    recorder = Recorder(disk.open, region=2, clock=clock)
    assert recorder.write([ENCODED] * 3)
    assert [kind for kind, _ in disk.opened[0].records] == [Kind.DECISION] * 3
    disk.opened[0].full = True
    recorder.write([ENCODED._replace(received_ms=at) for at in (5, 3)])
    assert (recorder.written, recorder.missing) == (3, 2)
    disk.opened[0].full = False
    recorder.write([ENCODED])
    _, gap = disk.opened[0].records[3]
    assert decode_gap(gap) == Gap(missed=2, since_ms=3, until_ms=5)


def test_a_journal_with_room_again_takes_records_again(disk, clock):
    recorder = Recorder(disk.open, region=2, clock=clock)
    disk.opened[0].full = True
    for _ in range(10):
        recorder.write([ENCODED])
    assert (recorder.missing, recorder.healthy) == (10, False)
    disk.opened[0].full = False
    assert recorder.write([ENCODED])
    assert (recorder.written, recorder.missing, recorder.healthy) == (1, 10, True)
    assert len(disk.opened) == 1


def test_what_was_missed_stands_in_the_chain_before_the_next_record(disk, clock):
    recorder = Recorder(disk.open, region=2, clock=clock)
    disk.opened[0].full = True
    for received_ms in (30, 10, 20):
        recorder.write([ENCODED._replace(received_ms=received_ms)])
    disk.opened[0].full = False
    recorder.write([ENCODED])
    recorder.write([ENCODED])
    (kind, payload), *after = disk.opened[0].records
    assert kind is Kind.GAP
    assert decode_gap(payload) == Gap(missed=3, since_ms=10, until_ms=30)
    assert [kind for kind, _ in after] == [Kind.DECISION, Kind.DECISION]


def test_a_full_disk_is_said_once_and_not_with_every_decision(disk, clock, caplog):
    recorder = Recorder(disk.open, region=2, clock=clock)
    disk.opened[0].full = True
    for _ in range(10):
        recorder.write([ENCODED])
    assert caplog.text.count("decisions go on without a record") == 1


def test_a_start_without_a_journal_is_a_start_and_opening_is_tried_at_intervals(disk, clock):
    disk.refuses = True
    recorder = Recorder(disk.open, region=2, clock=clock)
    assert not recorder.write([ENCODED])
    disk.refuses = False
    recorder.new_id(1)
    assert not disk.opened
    clock.advance(RETRY_S)
    recorder.new_id(1)
    assert len(disk.opened) == 1
    assert recorder.write([ENCODED])


def test_an_id_says_in_whose_journal_the_record_will_be(disk, clock):
    disk.refuses = True
    recorder = Recorder(disk.open, region=2, clock=clock)
    nowhere = locate(recorder.new_id(5))
    assert (nowhere.region, nowhere.writer, nowhere.unix_ms) == (2, NO_WRITER, 5)
    disk.refuses = False
    clock.advance(RETRY_S)
    assert locate(recorder.new_id(5)).writer == FakeJournal.writer


def test_closing_brings_the_journal_to_disk_once(disk, clock):
    recorder = Recorder(disk.open, region=2, clock=clock)
    recorder.close()
    recorder.close()
    assert disk.opened[0].closed
    assert not recorder.write([ENCODED])
