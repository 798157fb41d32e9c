"""Anchors: the heads of all chains, elsewhere."""

from __future__ import annotations

import os
from itertools import count

import pytest

from app.record.anchor import Anchorer, FolderAnchors
from app.record.frames import Kind, segments_of
from app.record.journal import open_journal


class Broken:
    """A sink that takes nothing until it is mended."""

    def __init__(self):
        self.mended = False
        self.taken = []

    def put(self, anchors):
        if not self.mended:
            raise OSError("out of reach")
        self.taken += anchors


@pytest.fixture
def journal(tmp_path):
    journal = open_journal(tmp_path / "journal", region=3, fsync_ms=0)
    yield journal
    journal.close()


@pytest.fixture
def anchors(tmp_path):
    return FolderAnchors(tmp_path / "anchors")


@pytest.fixture
def anchorer(tmp_path, anchors):
    clock = count(1_000, 1_000)
    return Anchorer(tmp_path / "journal", anchors, now_ms=lambda: next(clock))


def positions(anchors, writer=0):
    return [anchor.position for anchor in anchors.of(writer)]


def test_the_newest_head_is_anchored(journal, anchors, anchorer):
    journal.append(Kind.DECISION, b"one")
    journal.append(Kind.DECISION, b"two")
    assert anchorer.step() == 1
    (anchor,) = anchors.of(0)
    assert (anchor.region, anchor.writer, anchor.position) == (3, 0, (1, 2, False))
    assert (anchor.head, anchor.at_ms) == (journal.head.hex(), 1_000)


def test_a_head_that_did_not_move_is_not_anchored_again(journal, anchors, anchorer):
    journal.append(Kind.DECISION, b"one")
    assert [anchorer.step(), anchorer.step()] == [1, 0]
    journal.append(Kind.DECISION, b"two")
    anchorer.step()
    assert positions(anchors) == [(1, 1, False), (1, 2, False)]


def test_a_segment_without_records_is_anchored_by_its_header(journal, anchors, anchorer):
    anchorer.step()
    (anchor,) = anchors.of(0)
    assert (anchor.position, anchor.head) == ((1, 0, True), journal.head.hex())


def test_heads_follow_over_segments_and_epochs(tmp_path, anchors, anchorer):
    for _ in range(2):
        journal = open_journal(tmp_path / "journal", region=3, fsync_ms=0, segment_bytes=200)
        for _ in range(5):
            journal.append(Kind.DECISION, b"payload")
            anchorer.step()
        journal.close()
    found = positions(anchors)
    assert found == sorted(found)
    assert found[-1] == (2, 5, False)


def test_each_writer_has_its_own_file(tmp_path, anchors, anchorer, journal):
    other = open_journal(tmp_path / "journal", region=3, fsync_ms=0)
    assert anchorer.step() == 2
    assert anchors.writers() == {0, 1}
    other.close()


def test_a_sink_that_fails_is_offered_the_heads_again(tmp_path, journal):
    sink = Broken()
    anchorer = Anchorer(tmp_path / "journal", sink, now_ms=lambda: 1)
    journal.append(Kind.DECISION, b"one")
    with pytest.raises(OSError, match="out of reach"):
        anchorer.step()
    sink.mended = True
    assert anchorer.step() == 1
    assert [anchor.seq for anchor in sink.taken] == [1]


def test_nothing_is_anchored_beyond_damage(tmp_path, journal, anchors, anchorer):
    journal.append(Kind.DECISION, b"one")
    end = segments_of(tmp_path / "journal" / "00000")[0].stat().st_size
    journal.append(Kind.DECISION, b"two")
    path = segments_of(tmp_path / "journal" / "00000")[0]
    data = bytearray(path.read_bytes())
    data[end + 25] ^= 1
    path.write_bytes(data)
    anchorer.step()
    assert positions(anchors) == [(1, 1, False)]


def test_an_anchor_that_a_crash_cut_short_is_left_out_and_written_over(
    tmp_path, journal, anchors, anchorer
):
    for payload in (b"one", b"two"):
        journal.append(Kind.DECISION, payload)
        anchorer.step()
    path = tmp_path / "anchors" / "00000.anchors"
    os.truncate(path, path.stat().st_size - 5)
    assert positions(anchors) == [(1, 1, False)]
    journal.append(Kind.DECISION, b"three")
    anchorer.step()
    assert positions(anchors) == [(1, 1, False), (1, 3, False)]
