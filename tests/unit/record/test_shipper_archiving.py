"""Sealed segments to object storage: each once, verified, and only then allowed to go."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.record.archiving import Archiving, Shipped
from app.record.frames import Kind, segments_of
from app.record.journal import open_journal
from app.record.object_store import FolderObjects, ObjectConflict, ObjectStoreUnavailable
from app.record.signing import FileSigner
from app.record.target import Target, TargetDown

SIGNER = FileSigner(Ed25519PrivateKey.generate())
EVERYTHING = {"3/0": (9, 9_999)}
REGION = "us-east-1"


class Host:
    """A journal in small segments, and the half of a shipper that brings them away."""

    def __init__(self, folder, signer=SIGNER):
        self.folder, self.storage = folder, folder / "object-storage"
        self.journal = open_journal(
            folder / "journal", region=3, signer=signer, fsync_ms=0, segment_bytes=200
        )
        self.published = EVERYTHING
        self.start()

    def start(self):
        self.archiving = Archiving(
            self.folder / "journal",
            FolderObjects(self.storage),
            Target("storage", down=ObjectStoreUnavailable, answers=(ObjectConflict,)),
            region=REGION,
            published=lambda: self.published,
            manifest=self.folder / "manifest.jsonl",
            now_ms=lambda: 7,
        )

    def fill(self, segments):
        for _ in range(3 * segments):
            self.journal.append(Kind.DECISION, b"payload")
        return self.segments()

    def segments(self):
        return segments_of(self.folder / "journal" / "00000")

    def marked(self):
        return [path for path in self.segments() if path.with_name(path.name + ".shipped").exists()]

    def kept(self, segment):
        return self.storage / REGION / "00000" / segment.name

    def manifest(self):
        lines = (self.folder / "manifest.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Shipped) for line in lines]


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    yield host
    host.journal.close()


def test_closed_segments_are_kept_under_their_names_and_marked(host):
    *closed, open_one = host.fill(2)
    assert len(closed) == 2
    assert host.archiving.step() == 2
    assert host.marked() == closed
    assert not host.kept(open_one).exists()
    for path in closed:
        assert host.kept(path).read_bytes() == path.read_bytes()
    assert host.archiving.step() == 0


def test_the_manifest_names_the_version_that_an_auditor_asks_for(host):
    first, *_ = host.fill(1)
    host.archiving.step()
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    (line,) = host.manifest()
    assert line.key == f"{REGION}/00000/{first.name}"
    assert (line.version, line.sha256, line.bytes) == (digest, digest, first.stat().st_size)


def test_a_segment_may_go_only_once_the_stream_has_it_too(host):
    first, *_ = host.fill(1)
    host.published = {"3/0": (1, 3)}
    assert host.archiving.step() == 0
    assert host.kept(first).exists()
    assert host.archiving.waiting == 1
    host.published = {"3/0": (1, 4)}
    assert host.archiving.step() == 1
    assert host.marked() == [first]
    assert len(host.manifest()) == 1


def test_a_crash_between_upload_and_marker_is_healed(host):
    first, *_ = host.fill(1)
    host.published = {}
    host.archiving.step()
    host.published = EVERYTHING
    host.start()
    assert host.archiving.step() == 1
    assert host.marked() == [first]
    assert {line.key for line in host.manifest()} == {f"{REGION}/00000/{first.name}"}


def test_another_content_under_the_key_is_shown_and_never_overwritten(host):
    first, second, _ = host.fill(2)
    host.kept(first).parent.mkdir(parents=True)
    host.kept(first).write_bytes(b"something else")
    assert host.archiving.step() == 1
    assert host.kept(first).read_bytes() == b"something else"
    assert host.marked() == [second]
    (why,) = host.archiving.left.values()
    assert "holds something else" in why
    assert host.archiving.step() == 0


def test_a_damaged_segment_stays_and_is_shown(host):
    first, *_ = host.fill(1)
    data = bytearray(first.read_bytes())
    data[100] ^= 1
    first.write_bytes(data)
    assert host.archiving.step() == 0
    assert list(host.archiving.left) == [f"{REGION}/00000/{first.name}"]
    assert not host.kept(first).exists()


def test_a_segment_without_a_seal_stays_and_is_shown(tmp_path):
    host = Host(tmp_path, signer=None)
    host.fill(1)
    assert host.archiving.step() == 0
    assert list(host.archiving.left.values()) == ["the segment is not sealed"]
    host.journal.close()


def test_a_store_that_is_away_leaves_everything_waiting(host):
    closed = host.fill(2)[:-1]
    host.storage.write_bytes(b"not a folder")
    with pytest.raises(TargetDown):
        host.archiving.step()
    assert host.archiving.waiting == 2
    assert host.archiving.waiting_bytes == sum(path.stat().st_size for path in closed)
    assert not host.marked()
    host.storage.unlink()
    assert host.archiving.step() == 2
