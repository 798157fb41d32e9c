"""The ring: every byte has its place in a file, and what was not put whole was not put."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.record.frames import GENESIS, HEADER_BYTES, SegmentHeader, segment_name
from app.record.ring import MARKS, OVERHEAD_BYTES, ForeignRing, Ring
from app.record.ring_file import RingFile, RingRoom, ring_of, waiting_in
from app.record.ring_writer import RingWriter

OWNER = Path("/home/journal/00000")
SIZE = 1_000


def header(first_seq=1):
    return SegmentHeader(
        region=3, writer=0, epoch=5, first_seq=first_seq, opened_ms=7, previous=GENESIS
    )


@pytest.fixture
def memory():
    return memoryview(bytearray(OVERHEAD_BYTES + SIZE))


@pytest.fixture
def ring(memory):
    made = Ring.made(memory, OWNER, epoch=5)
    assert made.start(header())
    return made


def taken(ring):
    """Take all that waits: where it goes, and what it is."""
    found = []
    for piece in ring.waiting():
        found.append((piece.name, piece.offset, b"".join(ring.views(piece.at, piece.length))))
        ring.take(piece.at + piece.length)
    return found


def test_what_was_put_is_taken_once_with_its_place_in_the_file(ring):
    name = segment_name(5, 1)
    assert ring.put(b"one")
    assert ring.put(b"two")
    assert taken(ring) == [(name, 0, header().pack() + b"onetwo")]
    assert taken(ring) == []
    assert ring.put(b"three")
    assert taken(ring) == [(name, HEADER_BYTES + 6, b"three")]


def test_bytes_that_go_round_the_end_stay_in_order(ring):
    files = b""
    expected = header().pack()
    for number in range(200):
        data = bytes([number]) * 37
        assert ring.put(data)
        expected += data
        if number % 5 == 0:
            for _, offset, found in taken(ring):
                assert offset == len(files)
                files += found
    assert files + b"".join(found for *_, found in taken(ring)) == expected


def test_a_full_ring_takes_nothing_and_keeps_what_it_has(ring):
    while ring.put(b"x" * 100):
        pass
    waiting = ring.waiting()
    assert not ring.put(b"y" * 100)
    assert ring.waiting() == waiting
    taken(ring)
    assert ring.put(b"y" * 100)


def test_a_ring_takes_just_what_fits(ring):
    assert not ring.put(bytes(SIZE - HEADER_BYTES + 1))
    assert ring.fits(SIZE - HEADER_BYTES)
    assert ring.put(bytes(SIZE - HEADER_BYTES))
    assert not ring.fits(1)


def test_a_new_segment_starts_behind_the_one_before(ring):
    ring.put(b"one")
    assert ring.start(header(2))
    ring.put(b"two")
    assert taken(ring) == [
        (segment_name(5, 1), 0, header().pack() + b"one"),
        (segment_name(5, 2), 0, header(2).pack() + b"two"),
    ]
    ring.put(b"three")
    assert taken(ring) == [(segment_name(5, 2), HEADER_BYTES + 3, b"three")]


def test_no_mark_of_a_segment_that_waits_is_overwritten():
    ring = Ring.made(memoryview(bytearray(OVERHEAD_BYTES + 100_000)), OWNER, epoch=5)
    count = 0
    while ring.start(header(count + 1)):
        count += 1
    assert count == MARKS
    assert [name for name, *_ in taken(ring)] == [segment_name(5, n + 1) for n in range(MARKS)]
    assert ring.start(header(MARKS + 1))
    assert [name for name, *_ in taken(ring)] == [segment_name(5, MARKS + 1)]


def test_what_was_not_put_whole_is_not_taken(ring, memory):
    ring.put(b"whole")
    before = bytes(memory)
    ring.put(b"torn")
    # As if killed before the last store: all of it is there but the word that says so.
    torn = bytearray(memory)
    torn[64:72] = before[64:72]
    left = Ring(memoryview(torn), OWNER)
    assert taken(left) == [(segment_name(5, 1), 0, header().pack() + b"whole")]


def test_a_segment_whose_header_was_not_put_is_not_begun(ring, memory):
    ring.put(b"whole")
    before = bytes(memory)
    ring.start(header(2))
    torn = bytearray(memory)
    torn[64:72] = before[64:72]
    left = Ring(memoryview(torn), OWNER)
    assert [name for name, *_ in taken(left)] == [segment_name(5, 1)]
    assert taken(left) == []


@pytest.mark.parametrize("content", [b"", bytes(OVERHEAD_BYTES + SIZE), b"x" * 10_000])
def test_what_is_no_ring_is_refused(content):
    with pytest.raises(ForeignRing, match="format"):
        Ring(memoryview(bytearray(content)), OWNER)


def test_a_ring_cut_short_is_refused(ring, memory):
    with pytest.raises(ForeignRing, match="format"):
        Ring(memory[:-1], OWNER)


def test_the_ring_of_another_writer_is_refused(ring, memory):
    with pytest.raises(ForeignRing, match="another"):
        Ring(memory, OWNER.with_name("00001"))


def test_it_is_known_since_when_something_waits(ring):
    taken(ring)
    assert ring.waiting_since_ms is None
    ring.note_since(1_000)
    ring.put(b"one")
    ring.note_since(2_000)  # of no effect: something waits
    assert ring.waiting_since_ms == 1_000
    ring.taken_up_to(3_000)  # all but what came meanwhile
    assert ring.waiting_since_ms == 3_000


class Slot:
    """A slot whose ring a process that was killed left behind."""

    def __init__(self, path):
        self.slot = path / "journal" / "00000"
        self.slot.mkdir(parents=True)
        self.room = RingRoom(folder=path, size=SIZE)
        self.file = RingFile.made(self.slot, self.room, epoch=5)
        self.ring = self.file.ring
        self.ring.start(header())

    def write(self):
        writer = RingWriter(self.slot, self.ring)
        writer.write()
        writer.close()

    @property
    def segment(self):
        return (self.slot / segment_name(5, 1)).read_bytes()


@pytest.fixture
def left(tmp_path):
    slot = Slot(tmp_path)
    yield slot
    slot.file.close()


def test_writing_the_same_bytes_again_changes_nothing(left):
    left.ring.put(b"one")
    taken_before = left.ring.waiting()[0].at
    left.write()
    written = left.segment
    left.ring.take(taken_before)  # as if killed before the ring was told
    left.write()
    assert left.segment == written == header().pack() + b"one"


def test_a_writer_goes_on_where_another_one_ended(left):
    left.ring.put(b"one")
    left.write()
    left.ring.put(b"two")
    left.write()
    assert left.segment == header().pack() + b"onetwo"


@pytest.mark.parametrize("harm", ["shorter", "other", "gone"])
def test_nothing_is_written_into_a_segment_that_is_not_as_it_was_left(left, harm):
    left.write()
    left.ring.put(b"one")
    path = left.slot / segment_name(5, 1)
    if harm == "shorter":
        os.truncate(path, HEADER_BYTES - 1)
    elif harm == "other":
        path.write_bytes(header(2).pack() + b"more")
    else:
        path.unlink()
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(ForeignRing):
        left.write()
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_reader_sees_what_waits_and_takes_nothing(left):
    left.write()
    left.ring.put(b"one")
    assert waiting_in(left.slot) == {segment_name(5, 1): (HEADER_BYTES, b"one")}
    assert not left.ring.empty


def test_a_reader_without_a_ring_sees_nothing_waiting(left, tmp_path):
    assert waiting_in(tmp_path / "nowhere") == {}
    ring_of(left.slot).unlink()
    assert waiting_in(left.slot) == {}


def test_a_ring_is_this_user_s_alone(left):
    path = ring_of(left.slot)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_to_is_not_used(left):
    folder = ring_of(left.slot).parent
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        RingFile.made(left.slot, left.room, epoch=6)


def test_rings_of_folders_that_are_gone_are_removed_when_one_is_made(left, tmp_path):
    ring = ring_of(left.slot)
    left.slot.rename(tmp_path / "elsewhere")
    other = tmp_path / "journal" / "00001"
    other.mkdir()
    RingFile.made(other, left.room, epoch=1).close()
    assert not ring.exists()
    assert ring_of(other).exists()
