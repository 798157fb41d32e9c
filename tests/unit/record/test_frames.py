"""The journal's format on disk, pinned: segments are kept for years."""

from __future__ import annotations

import hashlib

import pytest

from app.ids import EventId
from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    BrokenChain,
    Kind,
    SegmentHeader,
    frame,
    records,
    segment_name,
    segments_of,
)

HEADER = SegmentHeader(
    region=3, writer=517, epoch=9, first_seq=41, opened_ms=1_700_000_000_000, previous=GENESIS
)
RECORD_BYTES = 24 + 32  # besides the payload


def chained(*payloads, kind=Kind.DECISION):
    head, data = HEADER.head, b""
    for seq, payload in enumerate(payloads, start=HEADER.first_seq):
        one = frame(kind=kind, seq=seq, written_ms=7, payload=payload, head=head)
        head, data = one[-32:], data + one
    return data


def flipped(data, at, mask=1):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def test_the_header_is_laid_out_as_documented():
    assert HEADER.pack().hex() == (
        "53444a31"  # SDJ1
        "01"
        "03"
        "0502"
        "09000000"
        "2900000000000000"
        "0068e5cf8b010000" + "00" * 32 + "00000000"
    )
    assert len(HEADER.pack()) == HEADER_BYTES == 64


def test_a_record_is_laid_out_as_documented():
    data = frame(kind=Kind.LABEL, seq=258, written_ms=7, payload=b"payload", head=GENESIS)
    body = bytes.fromhex("070000000301000002010000000000000700000000000000")
    assert data[:-32] == body + b"payload"
    assert data[-32:] == hashlib.sha256(GENESIS + data[:-32]).digest()


def test_a_header_reads_back():
    assert SegmentHeader.unpack(HEADER.pack() + b"records") == HEADER


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (HEADER.pack()[:-1], "ends within its header"),
        (b"", "ends within its header"),
        (flipped(HEADER.pack(), 0), "not a journal segment of this format"),
        (flipped(HEADER.pack(), 4, 3), "not a journal segment of this format"),
    ],
)
def test_what_is_no_header_is_refused(data, sentence):
    with pytest.raises(BrokenChain, match=sentence):
        SegmentHeader.unpack(data)


def test_records_read_back_with_their_identities():
    first, second = records(chained(b"one", b"two"), HEADER)
    assert (first.id, first.payload) == (EventId(3, 517, 9, 41), b"one")
    assert (second.id, second.payload) == (EventId(3, 517, 9, 42), b"two")
    assert (first.kind, first.written_ms) == (Kind.DECISION, 7)
    assert first.end == HEADER_BYTES + RECORD_BYTES + 3


def test_reading_goes_on_from_where_it_stopped():
    data = chained(b"one", b"two", b"three")
    first, *_ = records(data, HEADER)
    rest = records(data[first.end - HEADER_BYTES :], HEADER, offset=first.end, head=first.head)
    assert [record.payload for record in rest] == [b"two", b"three"]


def test_an_incomplete_record_is_not_read():
    data = chained(b"one", b"two")
    assert [record.payload for record in records(data[:-1], HEADER)] == [b"one"]


@pytest.mark.parametrize("at", [4, 5, 6, 8, 16, 24, 30])
def test_a_changed_byte_breaks_the_chain(at):
    data = chained(b"one", b"two")
    with pytest.raises(BrokenChain, match="breaks at seq"):
        list(records(flipped(data, at), HEADER))


def test_a_length_that_was_changed_is_not_taken_for_a_torn_tail():
    data = flipped(chained(b"one", b"two"), 1)  # now 259 bytes, more than there are
    with pytest.raises(BrokenChain, match="the record at seq 41 does not end where it says"):
        list(records(data, HEADER))


def test_a_length_beyond_any_record_breaks_the_chain():
    with pytest.raises(BrokenChain, match="claims"):
        list(records(flipped(chained(b"one"), 3), HEADER))


def test_a_record_left_out_breaks_the_chain():
    data = chained(b"one", b"two", b"six")
    size = RECORD_BYTES + 3
    with pytest.raises(BrokenChain):
        list(records(data[:size] + data[2 * size :], HEADER))


def test_records_that_changed_places_break_the_chain():
    data = chained(b"one", b"two")
    size = RECORD_BYTES + 3
    with pytest.raises(BrokenChain):
        list(records(data[size:] + data[:size], HEADER))


def test_a_record_of_another_segment_breaks_the_chain():
    other = SegmentHeader(
        region=3, writer=517, epoch=9, first_seq=41, opened_ms=0, previous=GENESIS
    )
    with pytest.raises(BrokenChain):
        list(records(chained(b"one"), other))


def test_a_kind_of_a_later_release_is_kept_as_its_number():
    (record,) = records(chained(b"one", kind=200), HEADER)
    assert record.kind == 200


def test_a_payload_that_no_reader_would_take_is_not_written():
    with pytest.raises(ValueError, match="too long"):
        frame(
            kind=Kind.DECISION,
            seq=1,
            written_ms=7,
            payload=bytes(PAYLOAD_BYTES_MAX + 1),
            head=GENESIS,
        )


def test_names_of_segments_sort_as_their_records(tmp_path):
    names = [segment_name(epoch, seq) for epoch, seq in [(2, 1), (9, 5), (9, 1_000), (10, 1)]]
    assert names == sorted(names)
    for name in reversed(names):
        (tmp_path / name).touch()
    (tmp_path / "lock").touch()
    assert [path.name for path in segments_of(tmp_path)] == names
