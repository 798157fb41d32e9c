"""The journal: what was answered is in it, whatever happens to process or disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.ids import EventId
from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segments_of,
)
from app.record.journal import JournalUnavailable, open_journal

SLOT = "00000"


@pytest.fixture
def opened(tmp_path):
    """Opens journals, and closes those that a test left open."""
    journals = []

    def start(**more):
        journals.append(open_journal(tmp_path, region=3, fsync_ms=0, **more))
        return journals[-1]

    start.journals = journals
    yield start
    for journal in journals:
        journal.close()


@pytest.fixture
def slot(tmp_path):
    return tmp_path / SLOT


def closed(opened):
    opened.journals.pop().close()


def read(slot):
    """Every record of a slot; each segment must go on from the head of the one before."""
    head, found = GENESIS, []
    for segment in segments_of(slot):
        data = segment.read_bytes()
        header = SegmentHeader.unpack(data)
        assert header.previous == head
        head = header.head
        for record in records(data[HEADER_BYTES:], header):
            head = record.head
            found.append(record)
    return found


def payloads(slot):
    return [record.payload for record in read(slot)]


def fill(journal, count=3):
    for number in range(count):
        journal.append(Kind.DECISION, f"{journal.epoch}-{number}".encode())


def open_files():
    return [entry.name for entry in Path("/proc/self/fd").iterdir()]


@contextmanager
def disk_full_at(file_bytes):
    """As on a full disk: a write takes what still fits, and the next one nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_appended_reads_back(opened, slot):
    journal = opened()
    first = journal.append(Kind.DECISION, b"one", unix_ms=1_234)
    second = journal.append(Kind.LABEL, b"two")
    assert (first, second) == (EventId(3, 0, 1, 1), EventId(3, 0, 1, 2))
    one, two = read(slot)
    assert (one.id, one.kind, one.written_ms, one.payload) == (first, Kind.DECISION, 1_234, b"one")
    assert (two.id, two.kind, two.payload) == (second, Kind.LABEL, b"two")
    assert journal.head == two.head
    assert journal.appended == 2


def test_several_at_once_are_records_like_any_other(opened, slot):
    journal = opened(segment_bytes=300)
    journal.append_all(Kind.DECISION, [b"1", b"2", b"3"])
    journal.append(Kind.LABEL, b"4")
    journal.append_all(Kind.DECISION, [b"5"] * 10)
    assert payloads(slot) == [b"1", b"2", b"3", b"4", *[b"5"] * 10]
    assert [record.id.seq for record in read(slot)] == list(range(1, 15))
    assert journal.appended == 14
    assert len(segments_of(slot)) > 1


def test_of_several_that_do_not_fit_none_is_taken(opened, slot):
    journal = opened()
    fill(journal, 1)
    size = segments_of(slot)[0].stat().st_size
    with disk_full_at(size + 150), pytest.raises(JournalUnavailable, match="takes no record"):
        journal.append_all(Kind.DECISION, [b"lost"] * 5)
    assert journal.gaps == 5
    assert journal.append(Kind.DECISION, b"after").seq == 2
    assert payloads(slot) == [b"1-0", b"after"]


def test_rotation_keeps_the_chain_over_segments(opened, slot):
    fill(opened(segment_bytes=300), 20)
    assert len(segments_of(slot)) > 3
    assert [record.id.seq for record in read(slot)] == list(range(1, 21))


def test_a_segment_that_cannot_be_started_is_gone_without(opened, slot):
    journal = opened(segment_bytes=300)
    fill(journal, 1)
    blocker = slot / "00000001-000000000005.journal"
    blocker.touch()
    fill(journal, 8)
    blocker.unlink()
    assert [record.id.seq for record in read(slot)] == list(range(1, 10))


def test_closing_brings_everything_to_disk_and_gives_the_slot_back(opened, slot):
    fill(opened(), 5)
    closed(opened)
    assert len(read(slot)) == 5
    assert opened().writer == 0


def test_closing_after_a_rotation_leaves_no_file_open(opened, slot):
    before = open_files()
    fill(opened(segment_bytes=300), 20)
    closed(opened)
    assert open_files() == before


def test_two_writers_take_two_slots(opened, tmp_path):
    one, two = opened(), opened()
    fill(one, 1)
    fill(two, 2)
    assert (one.writer, two.writer) == (0, 1)
    assert (len(read(tmp_path / "00000")), len(read(tmp_path / "00001"))) == (1, 2)


def test_a_slot_is_taken_over_after_its_process_died(opened, tmp_path, slot):
    script = (
        "import os, sys; from pathlib import Path; from app.record.frames import Kind;"
        "from app.record.journal import open_journal;"
        "journal = open_journal(Path(sys.argv[1]), region=3);"
        "journal.append(Kind.DECISION, b'answered'); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert died.returncode == -9
    journal = opened()
    assert (journal.writer, journal.epoch) == (0, 2)
    fill(journal, 1)
    assert payloads(slot) == [b"answered", b"2-0"]


def test_epochs_grow_with_each_opening_and_outlive_their_segments(opened, slot):
    for epoch in (1, 2, 3):
        journal = opened()
        assert journal.epoch == epoch
        closed(opened)
    for segment in segments_of(slot):
        segment.unlink()
    assert opened().epoch == 4


def test_epochs_grow_even_without_the_counter(opened, slot):
    opened()
    closed(opened)
    (slot / "epoch").unlink()
    assert opened().epoch == 2


def test_the_chain_goes_on_from_epoch_to_epoch(opened, slot):
    for _ in range(3):
        fill(opened(), 2)
        closed(opened)
    assert payloads(slot) == [b"1-0", b"1-1", b"2-0", b"2-1", b"3-0", b"3-1"]


@pytest.mark.parametrize("cut", [1, 31, 33, 40, 58])
def test_a_torn_tail_is_cut(opened, slot, cut):
    fill(opened())
    closed(opened)
    (segment,) = segments_of(slot)
    os.truncate(segment, segment.stat().st_size - cut)
    fill(opened(), 1)
    assert payloads(slot) == [b"1-0", b"1-1", b"2-0"]


@pytest.mark.parametrize("left", [0, 10, 63])
def test_a_segment_torn_within_its_header_is_put_aside(opened, slot, left):
    fill(opened())
    closed(opened)
    opened()
    closed(opened)
    os.truncate(segments_of(slot)[-1], left)
    fill(opened(), 1)
    assert payloads(slot) == [b"1-0", b"1-1", b"1-2", b"3-0"]
    assert len(list(slot.glob("*.torn"))) == 1


@pytest.mark.parametrize("offset", [0, 1, 30, 70])
def test_a_damaged_middle_is_kept_as_it_is(opened, slot, offset):
    fill(opened())
    closed(opened)
    (segment,) = segments_of(slot)
    data = bytearray(segment.read_bytes())
    second = HEADER_BYTES + 24 + 3 + 32
    data[second + offset] ^= 1
    segment.write_bytes(data)
    fill(opened(), 1)
    damaged, after = segments_of(slot)
    assert damaged.read_bytes() == data
    with pytest.raises(BrokenChain):
        list(records(bytes(data[HEADER_BYTES:]), SegmentHeader.unpack(data)))
    assert SegmentHeader.unpack(after.read_bytes()).epoch == 2


def test_a_damaged_header_is_kept_as_it_is(opened, slot):
    fill(opened())
    closed(opened)
    fill(opened(), 1)
    closed(opened)
    damaged = segments_of(slot)[-1]
    data = b"XXXX" + damaged.read_bytes()[4:]
    damaged.write_bytes(data)
    fill(opened(), 1)
    assert damaged.read_bytes() == data
    damaged.unlink()
    assert payloads(slot) == [b"1-0", b"1-1", b"1-2", b"3-0"]


@pytest.mark.parametrize("fits", [0, 1, 30])
def test_a_full_disk_leaves_no_torn_record(opened, slot, fits):
    journal = opened()
    fill(journal, 2)
    size = segments_of(slot)[0].stat().st_size
    with disk_full_at(size + fits):
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="takes no record"):
                journal.append(Kind.DECISION, b"lost")
    assert segments_of(slot)[0].stat().st_size == size
    assert journal.gaps == 2
    assert journal.append(Kind.DECISION, b"after").seq == 3
    assert payloads(slot) == [b"1-0", b"1-1", b"after"]


def test_a_disk_that_fills_up_within_a_new_header_keeps_the_segment_before(opened, slot):
    journal = opened(segment_bytes=130)
    fill(journal, 1)
    with disk_full_at(30):
        journal._rotate()
    fill(journal, 1)
    assert [record.id.seq for record in read(slot)] == [1, 2]


def test_a_payload_that_no_reader_would_take_is_refused_and_nothing_written(opened, slot):
    journal = opened()
    with pytest.raises(ValueError, match="too long"):
        journal.append(Kind.DECISION, bytes(2**20 + 1))
    fill(journal, 1)
    assert payloads(slot) == [b"1-0"]


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable, match="cannot be opened"):
        open_journal(tmp_path / "file", region=3)


def test_a_damaged_epoch_counter_is_said_so_and_gives_the_slot_back(opened, slot):
    opened()
    closed(opened)
    (slot / "epoch").write_text("")
    with pytest.raises(JournalUnavailable, match="cannot be opened"):
        opened()
    (slot / "epoch").write_text("7")
    assert opened().epoch == 8
