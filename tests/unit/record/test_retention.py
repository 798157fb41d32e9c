"""The journals' share of the disk: what goes, what stays, and what happens when nothing may go."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.record.frames import BrokenChain, Kind, segments_of
from app.record.journal import JournalUnavailable, open_journal
from app.record.retention import DiskShare, mark_shipped, stubs_of
from app.record.signing import FileSigner

SIGNER = FileSigner(Ed25519PrivateKey.generate())


@pytest.fixture
def slot(tmp_path):
    """A closed writer's four sealed segments."""
    journal = open_journal(tmp_path, region=3, signer=SIGNER, fsync_ms=0, segment_bytes=200)
    for _ in range(9):
        journal.append(Kind.DECISION, b"payload")
    journal.close()
    return tmp_path / "00000"


def used(slot):
    return sum(path.stat().st_size for path in segments_of(slot))


def wait_until(true):
    """The journal's own thread looks at the share once a second."""
    until_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_below_the_bound_nothing_goes(slot):
    for path in segments_of(slot):
        mark_shipped(path)
    share = DiskShare(slot.parent, bytes_max=used(slot) + 1)
    share.refresh()
    assert not share.full
    assert len(segments_of(slot)) == 4


def test_the_oldest_shipped_segments_go_until_there_is_room(slot):
    names = [path.name for path in segments_of(slot)]
    for path in segments_of(slot):
        mark_shipped(path)
    share = DiskShare(slot.parent, bytes_max=used(slot))
    share.refresh()
    assert [path.name for path in segments_of(slot)] == names[1:]
    assert list(stubs_of(slot)) == names[:1]
    assert not list(slot.glob(f"{names[0]}*"))


def test_what_was_not_shipped_stays_and_the_share_is_full(slot):
    share = DiskShare(slot.parent, bytes_max=used(slot))
    share.refresh()
    assert share.full
    assert len(segments_of(slot)) == 4


def test_a_shipped_segment_behind_one_that_was_not_stays(slot):
    for path in segments_of(slot)[1:]:
        mark_shipped(path)
    DiskShare(slot.parent, bytes_max=1).refresh()
    assert len(segments_of(slot)) == 4


def test_the_newest_segment_of_a_writer_stays(slot):
    for path in segments_of(slot):
        mark_shipped(path)
    newest = segments_of(slot)[-1]
    DiskShare(slot.parent, bytes_max=1).refresh()
    assert segments_of(slot) == [newest]


def test_a_removal_that_was_cut_short_is_finished_without_a_second_stub(slot):
    first, *_ = segments_of(slot)
    mark_shipped(first)
    whole, marker = first.read_bytes(), first.with_name(first.name + ".shipped").read_bytes()
    DiskShare(slot.parent, bytes_max=1).refresh()
    first.write_bytes(whole)
    first.with_name(first.name + ".shipped").write_bytes(marker)
    DiskShare(slot.parent, bytes_max=1).refresh()
    assert not first.exists()
    assert len((slot / "removed.jsonl").read_bytes().splitlines()) == 1


def test_a_marker_that_says_nothing_removes_nothing(slot):
    first, *_ = segments_of(slot)
    first.with_name(first.name + ".shipped").touch()
    share = DiskShare(slot.parent, bytes_max=1)
    share.refresh()
    assert share.full
    assert first.exists()


def test_an_open_segment_cannot_be_marked_as_shipped(tmp_path):
    journal = open_journal(tmp_path, region=3, signer=SIGNER, fsync_ms=0)
    journal.append(Kind.DECISION, b"payload")
    with pytest.raises(BrokenChain, match="not sealed"):
        mark_shipped(segments_of(tmp_path / "00000")[0])
    journal.close()


def test_with_its_share_full_the_journal_takes_nothing_until_something_was_shipped(tmp_path, slot):
    journal = open_journal(
        tmp_path, region=3, signer=SIGNER, fsync_ms=0, bytes_max=used(slot) + 200
    )
    journal.append(Kind.DECISION, bytes(400))
    wait_until(lambda: journal._share.full)
    with pytest.raises(JournalUnavailable, match="share of the disk is full"):
        journal.append(Kind.DECISION, b"lost")
    assert journal.gaps == 1
    for path in segments_of(slot)[:3]:
        mark_shipped(path)
    wait_until(lambda: not journal._share.full)
    journal.append(Kind.DECISION, b"taken")
    journal.close()


def test_a_journal_whose_share_is_full_is_not_opened(tmp_path, slot):
    with pytest.raises(JournalUnavailable, match="share of the disk is full"):
        open_journal(tmp_path, region=3, signer=SIGNER, bytes_max=used(slot))
    assert len(segments_of(slot)) == 4
