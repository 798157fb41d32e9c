"""A journal over a ring whose process is killed at any moment: what it took is in its files.

Kills 30 processes; STEPDOWN_KILLS=1000 kills more.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import time

import pytest

from app.record.anchor import Anchorer, FolderAnchors
from app.record.frames import HEADER_BYTES, Kind, SegmentHeader, records, segments_of
from app.record.journal import KEYRING, JournalUnavailable, open_journal
from app.record.ring_file import RingRoom, ring_of
from app.record.signing import Keyring, ensure_signing_key
from app.record.verify import verify

KILLS = int(os.environ.get("STEPDOWN_KILLS", "30"))
REGION = 3
REPORT = struct.Struct("<II")  # epoch, seq


class Journals:
    """One journal after the other in the same slot."""

    def __init__(self, root):
        self.folder = root / "journal"
        self.anchors = FolderAnchors(root / "anchors")
        self.anchorer = Anchorer(self.folder, self.anchors, now_ms=lambda: 1_700_000_000_000)
        self.room = RingRoom(folder=root / "memory", size=256 * 1_024)
        self.room.folder.mkdir()
        self._key = root / "key"

    def open(self):
        return open_journal(
            self.folder,
            region=REGION,
            signer=ensure_signing_key(self._key),
            fsync_ms=1,
            segment_bytes=20_000,
            ring=self.room,
        )

    def append_until_killed(self, told, rng):
        """As a child: append, and tell of what is in, for as long as it lives."""
        fsync = os.fsync
        stall_s = rng.choice([0.0, 0.005, 0.05])
        journal = self.open()

        def slow(fd):
            time.sleep(stall_s)
            fsync(fd)

        os.fsync = slow
        while True:
            try:
                at = journal.append(Kind.DECISION, rng.randbytes(rng.randint(0, 800)))
            except JournalUnavailable:  # the ring is full
                time.sleep(0.001)
                continue
            os.write(told, REPORT.pack(at.epoch, at.seq))
            if rng.random() < 0.02:
                time.sleep(0.002)

    def killed(self, rng):
        """What a process told that was killed at a random moment."""
        reading, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reading)
                self.append_until_killed(told, rng)
            finally:
                os._exit(1)
        os.close(told)
        data = os.read(reading, 4_096)
        end_s = time.monotonic() + rng.uniform(0.0, 0.04)
        while data and time.monotonic() < end_s:
            data += os.read(reading, 4_096)
        os.kill(pid, signal.SIGKILL)
        while rest := os.read(reading, 65_536):
            data += rest
        os.close(reading)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        return list(REPORT.iter_unpack(data))

    def ids(self, epoch=None):
        """Epoch and seq of every record, or of an epoch's, in the order of the files."""
        found = []
        for segment in segments_of(self.folder / "00000"):
            data = segment.read_bytes() if epoch in (None, int(segment.name[:8])) else b""
            if data:  # else killed when it was made
                found += records(data[HEADER_BYTES:], SegmentHeader.unpack(data))
        return [(record.id.epoch, record.id.seq) for record in found]


@pytest.fixture
def journals(tmp_path):
    return Journals(tmp_path)


def test_nothing_that_was_taken_is_missing_or_doubled_and_the_chain_holds(journals):
    rng = random.Random(20_260_102)
    slot = journals.folder / "00000"
    count, left = 0, 0
    for number in range(KILLS):
        told = journals.killed(random.Random(number))
        epoch = told[0][0]
        count += len(told)
        left += not set(told) <= set(journals.ids(epoch))
        assert ring_of(slot) is not None
        if rng.random() < 0.3:
            journals.anchorer.step()
        journals.open().close()
        missing = set(told) - set(journals.ids(epoch))
        assert not missing, f"kill {number}: {sorted(missing)[:5]} of {len(told)}"
        assert ring_of(slot) is None
    assert left > KILLS / 4, "hardly a ring had anything left: the test shows nothing"
    ids = journals.ids()
    assert ids == sorted(set(ids))
    journals.anchorer.step()
    keyring = Keyring(journals.folder / KEYRING)
    report = verify(journals.folder, keyring, journals.anchors, region=REGION)
    assert not report.findings
    assert report.records > count
