"""The seal: closes each segment, whoever closes it."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.record.frames import GENESIS, HEADER_BYTES, Kind, SegmentHeader, records, segments_of
from app.record.journal import KEYRING, open_journal
from app.record.seal import Seal, decode_seal, encode_seal
from app.record.signing import FileSigner, Keyring

HEADER = SegmentHeader(
    region=3, writer=5, epoch=9, first_seq=41, opened_ms=1_700_000_000_000, previous=GENESIS
)
HEAD = bytes(range(32))


@pytest.fixture
def signer():
    return FileSigner(Ed25519PrivateKey.generate())


@pytest.fixture
def keyring(tmp_path, signer):
    ring = Keyring(tmp_path / KEYRING)
    ring.add(signer.public_key)
    return ring


@pytest.fixture
def opened(tmp_path, signer):
    """Opens journals that seal."""

    def start(**more):
        return open_journal(tmp_path, region=3, fsync_ms=0, **{"signer": signer, **more})

    return start


def kinds(path):
    data = path.read_bytes()
    return [record.kind for record in records(data[HEADER_BYTES:], SegmentHeader.unpack(data))]


def fill(journal, count):
    return [journal.append(Kind.DECISION, b"payload").seq for _ in range(count)]


def test_a_seal_reads_back_and_fits_its_segment(signer, keyring):
    seal = Seal.of(HEADER, last_seq=50, head=HEAD, signer=signer)
    assert decode_seal(encode_seal(seal)) == seal
    assert seal.records == 10
    assert seal.fault(HEADER, last_seq=50, head=HEAD, keyring=keyring) is None


@pytest.mark.parametrize(
    "change",
    [
        {"region": 4},
        {"writer": 6},
        {"epoch": 8},
        {"first_seq": 40},
        {"last_seq": 51},
        {"records": 9},
        {"head": GENESIS},
        {"key": "0" * 64},
        {"signature": bytes(64)},
        {"v": 2},
    ],
)
def test_a_seal_that_was_changed_does_not_fit(signer, keyring, change):
    seal = msgspec.structs.replace(Seal.of(HEADER, last_seq=50, head=HEAD, signer=signer), **change)
    assert seal.fault(HEADER, last_seq=50, head=HEAD, keyring=keyring)


def test_each_full_segment_ends_in_a_seal_that_takes_a_seq(opened, tmp_path):
    journal = opened(segment_bytes=200)
    seqs = fill(journal, 6)
    *full, newest = segments_of(tmp_path / "00000")
    assert [kinds(path) for path in full] == [[Kind.DECISION] * 3 + [Kind.SEAL]] * len(full)
    assert kinds(newest) == []
    assert seqs == [1, 2, 3, 5, 6, 7]
    assert journal.appended == 6
    journal.close()


def test_closing_seals_the_last_segment(opened, tmp_path):
    journal = opened()
    fill(journal, 2)
    journal.close()
    (path,) = segments_of(tmp_path / "00000")
    assert kinds(path) == [Kind.DECISION, Kind.DECISION, Kind.SEAL]


def test_an_open_segment_is_sealed_when_its_slot_is_next_opened(opened, tmp_path):
    dead = opened(signer=None)
    fill(dead, 2)
    dead.close()
    first, *_ = segments_of(tmp_path / "00000")
    first.write_bytes(first.read_bytes()[:-1])  # torn
    opened().close()
    first, second = segments_of(tmp_path / "00000")
    assert kinds(first) == [Kind.DECISION, Kind.SEAL]
    assert kinds(second) == [Kind.SEAL]


def test_a_sealed_segment_is_not_sealed_twice(opened, tmp_path):
    opened().close()
    opened().close()
    assert [kinds(path) for path in segments_of(tmp_path / "00000")] == [[Kind.SEAL]] * 2


def test_damage_is_not_sealed(opened, tmp_path):
    dead = opened(signer=None)
    fill(dead, 2)
    dead.close()
    (path,) = segments_of(tmp_path / "00000")
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 30] ^= 1
    path.write_bytes(data)
    opened().close()
    assert path.read_bytes() == data


def test_a_new_segment_that_cannot_be_started_leaves_the_full_one_open(opened, tmp_path):
    journal = opened(segment_bytes=200)
    blocker = tmp_path / "00000" / "00000001-000000000005.journal"
    blocker.touch()
    fill(journal, 3)
    blocker.unlink()
    first, *_ = segments_of(tmp_path / "00000")
    assert kinds(first) == [Kind.DECISION] * 3
    fill(journal, 1)
    assert kinds(first) == [Kind.DECISION] * 4 + [Kind.SEAL]
    journal.close()


def test_the_public_key_is_kept_beside_the_segments(opened, tmp_path, signer):
    opened().close()
    message = b"message"
    (path,) = (tmp_path / KEYRING).iterdir()
    assert Keyring(tmp_path / KEYRING).verify(path.stem, message, signer.sign(message)) is None
