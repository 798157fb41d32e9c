"""Whatever is cut off or changed in a journal, nothing is read that was not written."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    frame,
    records,
    segments_of,
)
from app.record.journal import open_journal

HEADER = SegmentHeader(
    region=1, writer=2, epoch=3, first_seq=1, opened_ms=1_700_000_000_000, previous=GENESIS
)
PAYLOADS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def chained(payloads):
    head, data = HEADER.head, b""
    for seq, payload in enumerate(payloads, start=1):
        one = frame(kind=Kind.DECISION, seq=seq, written_ms=seq, payload=payload, head=head)
        head, data = one[-32:], data + one
    return data


def read(data):
    """Payloads until the end or the damage, and whether there was damage."""
    found = []
    try:
        found.extend(record.payload for record in records(data, HEADER))
    except BrokenChain:
        return found, True
    return found, False


@given(PAYLOADS, st.data())
def test_any_cut_reads_back_a_prefix_and_is_no_damage(payloads, data):
    whole = chained(payloads)
    cut = data.draw(st.integers(0, len(whole)))
    found, damaged = read(whole[:cut])
    assert found == payloads[: len(found)]
    assert len(chained(payloads[: len(found) + 1])) > cut or len(found) == len(payloads)
    assert not damaged


@given(PAYLOADS, st.data())
def test_a_changed_byte_is_found_or_cuts_the_last_record_off(payloads, data):
    whole = bytearray(chained(payloads))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found, damaged = read(bytes(whole))
    assert found == payloads[: len(found)]
    assert damaged or found == payloads[:-1]


@given(st.lists(st.binary(max_size=40), max_size=6), st.binary(max_size=200))
def test_garbage_behind_the_records_adds_none(payloads, garbage):
    found, _ = read(chained(payloads) + garbage)
    assert found == payloads


@settings(max_examples=25, deadline=None)
@given(PAYLOADS, st.lists(st.integers(0, 200), max_size=3))
def test_a_journal_opened_after_any_cuts_goes_on_from_a_prefix(payloads, cuts):
    with tempfile.TemporaryDirectory() as folder:
        expected = []
        for cut in (*cuts, 0):
            journal = open_journal(Path(folder), region=1, fsync_ms=0, segment_bytes=200)
            for payload in payloads:
                expected.append(payload)
                journal.append(Kind.DECISION, payload)
            journal.close()
            last = segments_of(Path(folder) / "00000")[-1]
            whole = last.read_bytes()
            last.write_bytes(whole[: len(whole) - cut])
            lost = len(whole_records(whole)) - len(whole_records(last.read_bytes()))
            expected = expected[: len(expected) - lost]
        found = []
        for segment in segments_of(Path(folder) / "00000"):
            found += whole_records(segment.read_bytes())
        assert found == expected


def whole_records(segment):
    with suppress(BrokenChain):
        header = SegmentHeader.unpack(segment)
        return [record.payload for record in records(segment[HEADER_BYTES:], header)]
    return []
