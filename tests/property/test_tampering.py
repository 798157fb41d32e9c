"""Whatever is done to a journal is found, and a journal that nobody touched is never accused.

Runs 150 tamperings and as many clean checks; STEPDOWN_TAMPERINGS=1000 runs more.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.record.anchor import Anchorer, FolderAnchors
from app.record.frames import (
    HEADER_BYTES,
    Kind,
    SegmentHeader,
    frame,
    records,
    segments_of,
)
from app.record.journal import KEYRING, open_journal
from app.record.seal import Seal, decode_seal, encode_seal
from app.record.signing import FileSigner, Keyring, ensure_signing_key
from app.record.verify import verify

REGION = 3
TIMES = int(os.environ.get("STEPDOWN_TAMPERINGS", "150"))
ROUNDS = 10
SEED = 20_260_101


@dataclass(frozen=True)
class World:
    """A journal folder with its key and anchors."""

    root: Path

    @property
    def folder(self):
        return self.root / "journal"

    @property
    def anchors(self):
        return FolderAnchors(self.root / "anchors")

    def signer(self):
        return ensure_signing_key(self.root / "key")

    def anchorer(self):
        clock = count(1_700_000_000_000, 1_000)
        return Anchorer(self.folder, self.anchors, now_ms=lambda: next(clock))

    def open(self, **more):
        return open_journal(self.folder, region=REGION, signer=self.signer(), fsync_ms=0, **more)

    def verify(self):
        return verify(self.folder, Keyring(self.folder / KEYRING), self.anchors, region=REGION)

    def slots(self):
        return sorted(self.folder.glob("[0-9]*"))

    def segments(self):
        return [path for slot in self.slots() for path in segments_of(slot)]


def die(journal):
    """Leave the journal as a killed process does: without a seal."""
    journal._signer = None
    journal.close()


def grown(root, rng):
    """Two writers over some epochs, anchored at times and at the end; some die unsealed."""
    world = World(root)
    anchorer = world.anchorer()
    for _ in range(rng.randint(2, 3)):
        journals = [world.open(segment_bytes=rng.choice([300, 500, 900])) for _ in range(2)]
        for _ in range(rng.randint(3, 12)):
            rng.choice(journals).append(Kind.DECISION, rng.randbytes(rng.randint(0, 60)))
            if rng.random() < 0.3:
                anchorer.step()
        for journal in journals:
            die(journal) if rng.random() < 0.3 else journal.close()
    anchorer.step()
    return world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    rng = random.Random(SEED)
    return [grown(tmp_path_factory.mktemp("world"), rng) for _ in range(6)]


def framed(data):
    """A segment as its header and the bytes of its records."""
    found, start = [], HEADER_BYTES
    for record in records(data[HEADER_BYTES:], SegmentHeader.unpack(data)):
        found.append(data[start : record.end])
        start = record.end
    return data[:HEADER_BYTES], found


def with_records(world, rng, at_least):
    segments = [path for path in world.segments() if len(framed(path.read_bytes())[1]) >= at_least]
    return rng.choice(segments)


def flip(world, rng, _):
    path = rng.choice(world.segments())
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= rng.randint(1, 255)
    path.write_bytes(data)


def cut(world, rng, _):
    path = rng.choice(world.segments())
    data = path.read_bytes()
    start = rng.randrange(len(data))
    end = rng.randint(start + 1, len(data))
    path.write_bytes(data[:start] + data[end:])


def cut_the_tail(world, rng, _):
    path = segments_of(rng.choice(world.slots()))[-1]
    os.truncate(path, rng.randrange(path.stat().st_size))


def cut_whole_records_off(world, rng, _):
    path = with_records(world, rng, 1)
    header, found = framed(path.read_bytes())
    path.write_bytes(header + b"".join(found[: rng.randrange(len(found))]))


def swap_records(world, rng, _):
    path = with_records(world, rng, 2)
    header, found = framed(path.read_bytes())
    one, other = rng.sample(range(len(found)), 2)
    found[one], found[other] = found[other], found[one]
    path.write_bytes(header + b"".join(found))


def swap_segments(world, rng, _):
    one, other = rng.sample(world.segments(), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def drop_a_record(world, rng, _):
    path = with_records(world, rng, 1)
    header, found = framed(path.read_bytes())
    found.pop(rng.randrange(len(found)))
    path.write_bytes(header + b"".join(found))


def drop_a_segment(world, rng, _):
    rng.choice(world.segments()).unlink()


def drop_newest_segments(world, rng, _):
    segments = segments_of(rng.choice(world.slots()))
    for path in segments[rng.randrange(len(segments)) :]:
        path.unlink()


def drop_a_writer(world, rng, _):
    shutil.rmtree(rng.choice(world.slots()))


def double_a_record(world, rng, _):
    path = with_records(world, rng, 1)
    header, found = framed(path.read_bytes())
    at = rng.randrange(len(found))
    found.insert(rng.randint(at, len(found)), found[at])
    path.write_bytes(header + b"".join(found))


def double_a_segment(world, rng, _):
    path = rng.choice(world.segments())
    shutil.copy(path, rng.choice(world.slots()) / f"{rng.randint(1, 9):08d}-000000000099.journal")


def splice_a_segment(world, rng, other):
    rng.choice(world.segments()).write_bytes(rng.choice(other.segments()).read_bytes())


def splice_a_record(world, rng, other):
    path = with_records(world, rng, 1)
    header, found = framed(path.read_bytes())
    _, foreign = framed(with_records(other, rng, 1).read_bytes())
    found[rng.randrange(len(found))] = rng.choice(foreign)
    path.write_bytes(header + b"".join(found))


def splice_a_writer(world, rng, other):
    slot = rng.choice(world.slots())
    shutil.rmtree(slot)
    shutil.copytree(rng.choice(other.slots()), slot)


def sign_with_another_key(world, rng, _):
    """Seal everything again: nothing is changed but the hand that signed."""
    rewrite(world, rng, edit=False)


def edit_and_compute_the_chain_anew(world, rng, _):
    rewrite(world, rng, edit=True)


def edit_an_anchor(world, rng, _):
    path = rng.choice(sorted((world.root / "anchors").iterdir()))
    lines = path.read_bytes().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    anchor = msgspec.json.decode(lines[at])
    field = rng.choice(["region", "writer", "epoch", "seq", "head"])
    anchor[field] = "0" * 64 if field == "head" else anchor[field] + rng.randint(1, 9)
    lines[at] = msgspec.json.encode(anchor) + b"\n"
    path.write_bytes(b"".join(lines))


def rewrite(world, rng, *, edit):
    """What someone without the key can do at best: every hash right, every seal by another key.

    Also where the anchors were lost: the seals alone must show it.
    """
    shutil.rmtree(world.root / "anchors")
    slot = rng.choice([slot for slot in world.slots() if sealed(slot)])
    signer = FileSigner(Ed25519PrivateKey.generate())
    claims_the_key = rng.random() < 0.5
    segments = segments_of(slot)
    victim = rng.choice(segments) if edit else None
    head = None
    for path in segments:
        head = computed_anew(path, head, signer, edit=path == victim, claims_the_key=claims_the_key)


def computed_anew(path, previous, signer, *, edit, claims_the_key=False):
    """Write a segment again behind another head; the head it leads to."""
    data = path.read_bytes()
    header = old = SegmentHeader.unpack(data)
    if previous is not None:
        header = replace(header, previous=previous)
    head, fresh = header.head, [header.pack()]
    for record in records(data[HEADER_BYTES:], old):
        payload = b"edited" if edit else record.payload
        if record.kind is Kind.SEAL:
            seal = Seal.of(header, last_seq=record.id.seq - 1, head=head, signer=signer)
            if claims_the_key:
                seal = msgspec.structs.replace(seal, key=decode_seal(record.payload).key)
            payload = encode_seal(seal)
        fresh.append(
            frame(
                kind=record.kind,
                seq=record.id.seq,
                written_ms=record.written_ms,
                payload=payload,
                head=head,
            )
        )
        head = fresh[-1][-32:]
    path.write_bytes(b"".join(fresh))
    return head


def edit_the_open_tail(world, rng, _):
    """No seal stands in the way here: only the anchors can tell."""
    path = rng.choice([segments_of(slot)[-1] for slot in world.slots()])
    header, found = framed(path.read_bytes())
    if found:  # a seal that is there is taken off
        last = list(records(b"".join(found), SegmentHeader.unpack(header)))[-1]
        path.write_bytes(header + b"".join(found[: len(found) - (last.kind is Kind.SEAL)]))
        computed_anew(path, None, None, edit=True)


def sealed(slot):
    return any(
        record.kind is Kind.SEAL
        for path in segments_of(slot)
        for record in records(
            path.read_bytes()[HEADER_BYTES:], SegmentHeader.unpack(path.read_bytes())
        )
    )


TAMPERINGS = [
    flip,
    cut,
    cut_the_tail,
    cut_whole_records_off,
    swap_records,
    swap_segments,
    drop_a_record,
    drop_a_segment,
    drop_newest_segments,
    drop_a_writer,
    double_a_record,
    double_a_segment,
    splice_a_segment,
    splice_a_record,
    splice_a_writer,
    sign_with_another_key,
    edit_and_compute_the_chain_anew,
    edit_the_open_tail,
    edit_an_anchor,
]


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_any_tampering_is_found(worlds, tmp_path, turn):
    rng = random.Random(SEED + turn)
    for number in range(turn, TIMES, ROUNDS):
        chosen, other = rng.sample(worlds, 2)
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        world = World(tmp_path / str(number))
        shutil.copytree(chosen.root, world.root)
        before = contents(world.root)
        while contents(world.root) == before:  # two equal records swapped are no tampering
            tamper(world, rng, other)
        assert not world.verify().ok, f"{tamper.__name__}, tampering {number} of seed {SEED}"
        shutil.rmtree(world.root)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_journal_at_rest_is_never_accused_whatever_crashes_it_saw(tmp_path, turn):
    rng = random.Random(SEED + turn)
    for number in range(turn, TIMES // 2, ROUNDS):
        world = grown(tmp_path / str(number), rng)
        tear(world, rng)
        assert world.verify().findings == ()
        for journal in (world.open(), world.open()):  # repairs and seals what was torn
            journal.close()
        report = world.verify()
        assert (report.findings, report.notes) == ((), ())
        shutil.rmtree(world.root)


def tear(world, rng):
    """Leave a record that a crash cut short behind every open segment."""
    for slot in world.slots():
        newest = segments_of(slot)[-1]
        data = newest.read_bytes()
        header = SegmentHeader.unpack(data)
        found = list(records(data[HEADER_BYTES:], header))
        if not found or found[-1].kind is not Kind.SEAL:
            seq = header.first_seq + len(found)
            whole = frame(kind=Kind.DECISION, seq=seq, written_ms=1, payload=b"torn", head=b"")
            newest.write_bytes(data + whole[: rng.randrange(len(whole))])


def test_a_journal_that_is_being_written_is_never_accused(tmp_path):
    for number in range(0, TIMES // 2, 25):
        world = World(tmp_path / str(number))
        world.signer()
        with writing(world):
            for _ in range(min(25, TIMES // 2 - number)):
                assert world.verify().findings == ()


@contextmanager
def writing(world):
    """Write, rotate, anchor, and start writers anew, for as long as the block lasts."""
    done = threading.Event()

    def write():
        while not done.is_set():
            journal = world.open(segment_bytes=1_000)
            for _ in range(100):
                journal.append(Kind.DECISION, b"payload")
                time.sleep(0.000_3)
            die(journal) if journal.epoch % 2 else journal.close()

    def anchor():
        anchorer = world.anchorer()
        while not done.wait(0.005):
            anchorer.step()

    threads = [threading.Thread(target=work) for work in (write, write, anchor)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
