"""Verification: what is a finding, what is a note, and what it says."""

from __future__ import annotations

import os
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.record.anchor import Anchorer, FolderAnchors
from app.record.frames import HEADER_BYTES, Kind, segments_of
from app.record.gap import Gap, encode_gap
from app.record.journal import KEYRING, open_journal
from app.record.retention import DiskShare, mark_shipped
from app.record.signing import FileSigner, Keyring
from app.record.verify import verify

REGION = 3


class Region:
    """One region's journal, its anchors and its audit."""

    def __init__(self, root):
        self.folder = root / "journal"
        self.slot = self.folder / "00000"
        self.anchors = FolderAnchors(root / "anchors")
        self.signer = FileSigner(Ed25519PrivateKey.generate())
        self._anchorer = Anchorer(self.folder, self.anchors, now_ms=lambda: 1)

    def open(self, **more):
        return open_journal(
            self.folder, region=REGION, fsync_ms=0, **{"signer": self.signer, **more}
        )

    def write(self, count=3, **more):
        journal = self.open(**more)
        for _ in range(count):
            journal.append(Kind.DECISION, b"payload")
        journal.close()

    def anchor(self):
        self._anchorer.step()

    def verify(self, *, region=REGION, root=None):
        keyring = Keyring(self.folder / KEYRING, root=root)
        return verify(self.folder, keyring, self.anchors, region=region)

    def found(self):
        return [finding.what for finding in self.verify().findings]


@pytest.fixture
def region(tmp_path):
    return Region(tmp_path)


def test_nothing_written_is_nothing_wrong(region):
    report = region.verify()
    assert (report.ok, report.writers, report.records) == (True, 0, 0)


def test_a_journal_as_written_is_ok_and_counted(region):
    region.write(6, segment_bytes=200)
    region.write(1)
    region.anchor()
    report = region.verify()
    assert (report.findings, report.notes) == ((), ())
    assert (report.writers, report.segments, report.records) == (1, 4, 7 + 4)
    assert report.unanchored == 0


def test_what_is_behind_the_newest_anchor_is_said_to_be_unanchored(region):
    journal = region.open()
    journal.append(Kind.DECISION, b"one")
    region.anchor()
    journal.append(Kind.DECISION, b"two")
    report = region.verify()
    assert (report.ok, report.unanchored) == (True, 1)
    assert [note.what for note in report.notes] == ["open: not sealed yet"]
    journal.close()


def test_a_torn_tail_is_noted_and_gone_once_the_slot_is_opened_again(region):
    region.write(2, signer=None)
    (path,) = segments_of(region.slot)
    os.truncate(path, path.stat().st_size - 1)
    (torn, _) = region.verify().notes
    assert (torn.seq, torn.what) == (1, "62 bytes of an unfinished record")
    region.write(1)
    report = region.verify()
    assert not report.findings + report.notes


def test_a_tail_cut_below_an_anchor_is_found_also_after_the_repair(region):
    region.write(2, signer=None)
    region.anchor()
    (path,) = segments_of(region.slot)
    os.truncate(path, path.stat().st_size - 1)
    assert region.found() == ["the journal ends before what was anchored (epoch 1)"]
    region.open().close()
    assert region.found() == ["what was anchored reads otherwise (epoch 1)"]


def test_a_segment_of_no_records_that_was_anchored_cannot_go_unseen(region):
    region.write(1)
    journal = region.open()
    region.anchor()
    segments_of(region.slot)[-1].unlink()
    assert region.found() == ["the journal ends before what was anchored (epoch 2)"]
    journal.close()


def test_a_segment_being_started_is_no_finding(region):
    region.write(1)
    (region.slot / "00000002-000000000001.journal").touch()
    assert region.verify().ok


def test_an_open_segment_that_is_not_the_newest_is_found(region):
    region.write(1, signer=None)
    region.write(1, signer=None)
    assert region.found() == ["the segment is not sealed, and not the newest"]


def test_a_gap_is_told_and_is_no_finding(region):
    journal = region.open()
    journal.append(Kind.GAP, encode_gap(Gap(missed=7, since_ms=1_000, until_ms=2_000)))
    journal.close()
    report = region.verify()
    assert (report.ok, report.missed) == (True, 7)
    assert [note.what for note in report.notes] == ["7 decisions have no record, 1000 to 2000 ms"]


def test_a_journal_of_another_region_is_found(region):
    region.write(1)
    report = region.verify(region=4)
    assert {finding.what for finding in report.findings} == {"the segment belongs to another place"}


def test_keys_that_the_root_did_not_endorse_do_not_count(region):
    region.write(1)
    root = FileSigner(Ed25519PrivateKey.generate())
    assert not region.verify(root=root.public_key).ok
    Keyring(region.folder / KEYRING).endorse(region.signer.public_key, by=root)
    assert region.verify(root=root.public_key).ok


def test_damage_is_told_once_and_does_not_hide_what_follows(region):
    region.write(9, segment_bytes=200)
    region.anchor()
    first, _, third, *_ = segments_of(region.slot)
    for path in (first, third):
        data = bytearray(path.read_bytes())
        data[HEADER_BYTES + 30] ^= 1
        path.write_bytes(data)
    assert region.found() == ["the chain breaks at seq 1", "the chain breaks at seq 9"]


def test_a_reserved_byte_of_a_header_cannot_be_changed_unseen(region):
    region.write(1)
    (path,) = segments_of(region.slot)
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES - 1] = 1
    path.write_bytes(data)
    assert region.found() == ["not a journal segment of this format"]


def test_anchors_that_cannot_be_read_are_found(region, tmp_path):
    region.write(1)
    region.anchor()
    with (tmp_path / "anchors" / "00000.anchors").open("ab") as file:
        file.write(b"nonsense\n")
    assert region.found() == ["the anchors cannot be read to their end"]


@pytest.fixture
def thinned(region):
    """A journal with its two oldest segments removed, as shipped ones are."""
    journal = region.open(segment_bytes=200)
    for _ in range(9):
        journal.append(Kind.DECISION, b"payload")
        region.anchor()
    journal.close()
    region.anchor()
    for path in segments_of(region.slot)[:2]:
        mark_shipped(path)
    DiskShare(region.folder, bytes_max=1).refresh()
    return region


def test_a_removed_segment_leaves_a_stub_that_verifies(thinned):
    report = thinned.verify()
    assert (report.findings, report.removed, report.segments) == ((), 2, 2)


def test_a_segment_that_is_there_counts_more_than_its_stub(region):
    region.write(6, segment_bytes=200)
    first, *_ = segments_of(region.slot)
    mark_shipped(first)
    kept = first.read_bytes()
    DiskShare(region.folder, bytes_max=1).refresh()
    first.write_bytes(kept)
    report = region.verify()
    assert (report.findings, report.removed) == ((), 0)


def test_a_segment_removed_without_a_stub_is_found(thinned):
    (thinned.slot / "removed.jsonl").unlink()
    assert "the segment does not follow on the one before" in thinned.found()


def test_a_stub_that_was_changed_is_found(thinned):
    path = thinned.slot / "removed.jsonl"
    whole = path.read_bytes()
    at = whole.index(b'"seal":"') + 60
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 3]) + whole[at + 1 :])
    assert not thinned.verify().ok


def test_a_writer_that_is_gone_is_found(region):
    region.write(1)
    region.anchor()
    shutil.rmtree(region.slot)
    assert region.found() == ["the journal ends before what was anchored (epoch 1)"]
