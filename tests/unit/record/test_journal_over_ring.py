"""The journal over a ring: no append waits for a disk, and none is lost that was taken."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    Kind,
    SegmentHeader,
    records,
    segment_name,
    segments_of,
)
from app.record.journal import JournalUnavailable, open_journal
from app.record.lookup import _payloads
from app.record.repair import next_epoch
from app.record.ring_file import RingFile, RingRoom, all_written_before_ms, ring_of, waiting_in

SIZE = 64 * 1_024


@pytest.fixture
def room(tmp_path):
    folder = tmp_path / "memory"
    folder.mkdir()
    return RingRoom(folder=folder, size=SIZE)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def slot(folder):
    return folder / "00000"


@pytest.fixture
def opened(folder, room):
    """Opens journals over rings, and closes those that a test left open."""
    journals = []

    def start(**more):
        journals.append(open_journal(folder, region=3, **{"fsync_ms": 0, "ring": room, **more}))
        return journals[-1]

    start.journals = journals
    yield start
    for journal in journals:
        journal.close()


class Disk:
    """Stands still, or fails, on demand: what is done to files goes through it."""

    def __init__(self, monkeypatch):
        self._write, self._fsync = os.pwritev, os.fsync
        self._moving = threading.Event()
        self._moving.set()
        self.fault = None
        self.takes = None
        monkeypatch.setattr(os, "pwritev", self._pwritev)
        monkeypatch.setattr(os, "fsync", self._synced)

    @contextmanager
    def standing_still(self):
        self._moving.clear()
        try:
            yield
        finally:
            self._moving.set()

    def _pwritev(self, fd, views, offset):
        self._moving.wait()
        if self.takes is not None:
            views, self.takes = [b"".join(views)[: self.takes]], None
        elif self.fault is not None:
            raise OSError(self.fault, os.strerror(self.fault))
        return self._write(fd, views, offset)

    def _synced(self, fd):
        self._moving.wait()
        self._fsync(fd)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


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
    return [record.payload for record in read(slot) if record.kind is not Kind.SEAL]


def until(condition, seconds=5.0):
    give_up_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_s, "it never came to be"
        time.sleep(0.002)


def fill(journal, count=3, size=0):
    for number in range(count):
        journal.append(Kind.DECISION, f"{journal.epoch}-{number}".encode().ljust(size, b"."))


def die(journal):
    """Leave everything as a killed process would; the slot is free."""
    sink = journal._sink
    sink._sync._closing = True
    with sink._sync._condition:
        sink._sync._condition.notify()
    sink._sync._thread.join(5)
    sink._file.close()
    os.close(journal._lock)


def test_what_is_appended_is_in_its_file_soon(opened, slot):
    journal = opened()
    fill(journal)
    until(lambda: payloads(slot) == [b"1-0", b"1-1", b"1-2"])
    until(lambda: read(slot)[-1].head == journal.head)
    assert journal.without_ring is None


def test_files_are_the_same_bytes_as_without_a_ring(opened, folder, slot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.record.journal._now_ms", lambda: 1_234)
    fill(opened(segment_bytes=300), 50)
    opened.journals.pop().close()
    direct = open_journal(tmp_path / "direct", region=3, fsync_ms=0, segment_bytes=300)
    fill(direct, 50)
    direct.close()
    found = {path.name: path.read_bytes() for path in segments_of(slot)}
    assert len(found) > 5
    assert found == {
        path.name: path.read_bytes() for path in segments_of(tmp_path / "direct" / "00000")
    }


def test_a_disk_that_stands_still_delays_no_append(opened, slot, disk):
    journal = opened(segment_bytes=4_096)
    fill(journal, 1)
    with disk.standing_still():
        time.sleep(0.02)  # the thread is at the disk
        began_s = time.monotonic()
        fill(journal, 100, size=100)  # over several segments
        took_s = time.monotonic() - began_s
        assert len(read(slot)) <= 1
    assert took_s < 0.1
    until(lambda: len(payloads(slot)) == 101)
    until(lambda: max(journal.windows_ms) >= took_s * 1_000)


def test_a_full_ring_refuses_at_once_and_takes_again_when_the_disk_does(opened, slot, disk):
    journal = opened()
    with disk.standing_still():
        began_s = time.monotonic()
        with pytest.raises(JournalUnavailable, match="ring is full"):
            fill(journal, 1_000, size=1_000)
        assert time.monotonic() - began_s < 0.2
        taken = journal.appended
        assert taken > 50
        assert journal.gaps == 1
    until(lambda: len(payloads(slot)) == taken)
    fill(journal, 1)
    until(lambda: [record.id.seq for record in read(slot)] == list(range(1, taken + 2)))


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_a_failing_disk_makes_gaps_and_what_was_taken_is_written_once_it_works(
    opened, slot, disk, fault, caplog
):
    journal = opened()
    disk.fault = fault
    with caplog.at_level(logging.ERROR):
        fill(journal, 3)
        until(lambda: journal._sink._sync.failed is not None)
        for _ in range(5):
            with pytest.raises(JournalUnavailable, match=os.strerror(fault)):
                journal.append(Kind.DECISION, b"lost")
        time.sleep(0.25)  # several more tries
    assert journal.gaps == 5
    assert caplog.text.count("cannot be written") == 1
    disk.fault = None
    until(lambda: journal._sink._sync.failed is None)
    assert journal.append(Kind.DECISION, b"after").seq == 4
    until(lambda: payloads(slot) == [b"1-0", b"1-1", b"1-2", b"after"])


def test_a_limit_on_the_size_of_files_is_as_a_full_disk_and_stops_no_ring(opened, slot, folder):
    journal = opened()
    until(lambda: journal._sink._ring.empty)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        fill(journal, 3)
        until(lambda: journal._sink._sync.failed is not None)
        with pytest.raises(JournalUnavailable, match="too large"):
            journal.append(Kind.DECISION, b"lost")
        with pytest.raises(JournalUnavailable, match="cannot be opened"):
            opened()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    until(lambda: payloads(slot) == [b"1-0", b"1-1", b"1-2"])
    assert opened().without_ring is None


def test_a_disk_that_takes_a_part_gets_the_rest_later(opened, slot, disk):
    journal = opened()
    until(lambda: journal._sink._ring.empty)
    disk.takes, disk.fault = 70, errno.ENOSPC
    fill(journal, 3)
    until(lambda: journal._sink._sync.failed is not None)
    assert len(payloads(slot)) == 1
    disk.fault = None
    until(lambda: payloads(slot) == [b"1-0", b"1-1", b"1-2"])


def test_opening_on_a_disk_that_takes_nothing_is_refused_and_leaves_nothing(
    folder, slot, room, disk
):
    disk.fault = errno.ENOSPC
    with pytest.raises(JournalUnavailable, match="cannot be opened"):
        open_journal(folder, region=3, ring=room)
    assert segments_of(slot) == []
    assert ring_of(slot) is None
    assert list(room.folder.rglob("*.ring")) == []


def test_closing_writes_everything_and_leaves_no_ring(opened, slot, room):
    fill(opened(), 5)
    opened.journals.pop().close()
    assert len(payloads(slot)) == 5
    assert ring_of(slot) is None
    assert list(room.folder.rglob("*.ring")) == []


def test_closing_leaves_no_file_and_no_memory_open(opened):
    def held():
        maps = Path("/proc/self/maps").read_text().count(".ring")
        return maps, sorted(entry.name for entry in Path("/proc/self/fd").iterdir())

    before = held()
    fill(opened(segment_bytes=300), 20)
    opened.journals.pop().close()
    assert held() == before


def test_what_cannot_be_written_at_closing_stays_for_the_next(opened, slot, disk):
    journal = opened()
    until(lambda: journal._sink._ring.empty)
    disk.fault = errno.ENOSPC
    fill(journal, 3)
    with pytest.raises(OSError, match="ring is kept"):
        opened.journals.pop().close()
    assert payloads(slot) == []
    disk.fault = None
    fill(opened(), 1)
    until(lambda: payloads(slot) == [b"1-0", b"1-1", b"1-2", b"2-0"])


def leave(opened, disk, count=3, **more):
    """A journal that died with records in its ring that are in no file."""
    journal = opened(**more)
    until(lambda: journal._sink._ring.empty)
    disk.fault = errno.EIO
    fill(journal, count)
    die(opened.journals.pop())
    disk.fault = None


@pytest.mark.parametrize("ring", ["again", "none"])
def test_whoever_opens_the_slot_next_brings_in_what_is_left(opened, slot, disk, room, ring):
    leave(opened, disk)
    assert payloads(slot) == []
    assert opened(ring=room if ring == "again" else None).epoch == 2
    assert payloads(slot) == [b"1-0", b"1-1", b"1-2"]


def test_segments_that_were_never_made_are_brought_in_too(opened, slot, disk):
    leave(opened, disk, count=30, segment_bytes=300)
    assert len(segments_of(slot)) == 1
    opened()
    assert len(segments_of(slot)) > 5
    assert len(payloads(slot)) == 30


def test_a_disk_that_takes_nothing_at_opening_keeps_the_ring(opened, folder, slot, disk):
    leave(opened, disk)
    disk.fault = errno.ENOSPC
    with pytest.raises(JournalUnavailable):
        open_journal(folder, region=3)
    disk.fault = None
    opened()
    assert payloads(slot) == [b"1-0", b"1-1", b"1-2"]


@pytest.mark.parametrize("takes", [10, 70, 300, 330])
def test_bringing_in_that_was_cut_short_is_done_again(opened, folder, slot, disk, takes):
    leave(opened, disk, count=12, segment_bytes=300)
    disk.takes, disk.fault = takes, errno.EIO
    with pytest.raises(JournalUnavailable):
        open_journal(folder, region=3)
    disk.fault = None
    opened()
    assert payloads(slot) == [f"1-{number}".encode() for number in range(12)]


def test_a_segment_whose_header_was_written_in_part_is_brought_in(opened, slot):
    journal = opened(segment_bytes=300)
    fill(journal, 12)
    until(lambda: len(payloads(slot)) == 12 and journal._sink._sync._dirty_since_s is None)
    ring = journal._sink._ring
    _, second, *later = segments_of(slot)
    for segment in later:
        segment.unlink()
    os.truncate(second, 10)
    start, _, _ = ring._mark(1)
    ring.take(start + 10)
    die(opened.journals.pop())
    opened()
    assert payloads(slot) == [f"1-{number}".encode() for number in range(12)]


def test_a_slot_that_nobody_opens_is_brought_in_by_whoever_opens_another(opened, folder, disk):
    first = opened()
    leave(opened, disk)
    assert payloads(folder / "00001") == []
    opened.journals.remove(first)
    first.close()
    assert opened().writer == 0
    assert payloads(folder / "00001") == [b"1-0", b"1-1", b"1-2"]
    assert ring_of(folder / "00001") is None


def test_a_copied_home_takes_nothing_from_the_ring_of_the_first(opened, folder, slot, disk):
    leave(opened, disk)
    ring = ring_of(slot)
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    open_journal(copy, region=3).close()
    assert payloads(copy / "00000") == []
    assert ring.exists()
    opened()
    assert payloads(slot) == [b"1-0", b"1-1", b"1-2"]


def test_the_ring_of_another_epoch_is_left_out(opened, slot, disk):
    leave(opened, disk)
    next_epoch(slot)  # by a release that knew of no rings
    assert opened().epoch == 3
    assert payloads(slot) == []


def test_a_host_that_was_started_anew_has_no_ring_and_that_is_no_error(opened, slot, disk, room):
    leave(opened, disk)
    shutil.rmtree(room.folder)
    room.folder.mkdir()
    assert opened().epoch == 2
    assert payloads(slot) == []


def test_without_shared_memory_files_are_written_at_once_and_that_is_said(
    opened, slot, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        journal = opened(ring=RingRoom(folder=tmp_path / "nowhere", size=SIZE))
    assert "without a ring" in caplog.text
    assert "No such file" in journal.without_ring
    fill(journal)
    assert payloads(slot) == [b"1-0", b"1-1", b"1-2"]


def test_shared_memory_that_is_full_is_found_at_opening(opened, room, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        journal = opened()
    assert "No space left" in journal.without_ring
    assert list(room.folder.rglob("*.ring")) == []
    fill(journal)


def test_what_waits_is_found_before_it_is_in_a_file(opened, slot, disk):
    def found(text):
        return list(_payloads(slot, Kind.DECISION, text, since_ms=0, until_ms=2**50))

    journal = opened(segment_bytes=300)
    fill(journal, 1)
    until(lambda: journal._sink._ring.empty)
    with disk.standing_still():
        fill(journal, 20)
        assert len(read(slot)) <= 1
        assert found("1-19") == [b"1-19"]
        assert found("1-20") == []
    until(lambda: journal._sink._ring.empty)
    assert found("1-19") == [b"1-19"]


def test_it_is_told_up_to_when_everything_appended_is_in_the_files(opened, folder, disk):
    def behind_ms():
        return time.time() * 1_000 - all_written_before_ms(folder)

    journals = [opened(), opened()]
    until(lambda: all(journal._sink._ring.empty for journal in journals))
    time.sleep(0.02)
    assert behind_ms() < 10
    with disk.standing_still():
        fill(journals[1], 1)
        began_s = time.monotonic()
        time.sleep(0.1)
        fill(journals[1], 1)
        assert (time.monotonic() - began_s) * 1_000 - 2 <= behind_ms() < 2_000
    until(lambda: behind_ms() < 10)


def test_a_ring_that_nobody_empties_holds_the_others_back_no_longer_than_seconds(
    opened, folder, slot, disk
):
    leave(opened, disk)
    with RingFile.there(ring_of(slot), slot) as file:
        file.ring._words[10] = file.ring._words[17] = 1  # for ages
    assert time.time() * 1_000 - 2_500 < all_written_before_ms(folder) < time.time() * 1_000


def test_a_ring_is_made_before_anything_is_in_it_and_found_by_its_slot(opened, slot):
    opened()
    assert isinstance(ring_of(slot), Path)
    with RingFile.there(ring_of(slot), slot) as file:
        assert file.ring.epoch == 1
    assert segments_of(slot)[0].name == segment_name(1, 1)
    assert waiting_in(slot) == {}
