"""What the applier relies on, of every event stream: order, rewinding, nothing left out."""

from __future__ import annotations

import os

from app.record.frames import HEADER_BYTES, Kind, segments_of

REGION = 3


def append(journal, count):
    return [
        journal.append(Kind.DECISION, f"{journal.writer}/{number}".encode())
        for number in range(count)
    ]


def ids(records):
    return [record.id for record in records]


def drained(stream, limit=100):
    found = []
    while batch := stream.read(limit):
        assert len(batch) <= limit
        found += ids(batch)
    return found


def by_writer(found, writer):
    return [id for id in found if id.writer == writer]


def test_a_stream_without_events_is_empty(region):
    assert region.stream.read(10) == []


def test_events_come_in_the_order_of_their_writer(region):
    one, two = region.writer(), region.writer()
    of_one, of_two = append(one, 20), append(two, 20)
    found = drained(region.stream, limit=7)
    assert by_writer(found, 0) == of_one
    assert by_writer(found, 1) == of_two


def test_events_arrive_whole(region):
    region.writer().append(Kind.LABEL, b"payload", unix_ms=1_234)
    (record,) = region.stream.read(10)
    assert (record.kind, record.payload, record.written_ms) == (Kind.LABEL, b"payload", 1_234)


def test_a_read_keeps_to_its_limit_and_falls_short_only_when_there_is_no_more(region):
    append(region.writer(), 4)
    append(region.writer(), 6)
    assert [len(region.stream.read(3)) for _ in range(5)] == [3, 3, 3, 1, 0]


def test_no_writer_waits_behind_a_busy_one(region):
    append(region.writer(), 1_000)
    append(region.writer(), 5)
    found = [id for _ in range(20) for id in ids(region.stream.read(10))]
    assert len(found) == 200
    assert len(by_writer(found, 1)) == 5


def test_a_stream_follows_what_is_appended(region):
    journal = region.writer()
    for _ in range(3):
        made = append(journal, 2)
        assert drained(region.stream) == made


def test_a_stream_follows_new_writers(region):
    append(region.writer(), 1)
    drained(region.stream)
    made = append(region.writer(), 2)
    assert drained(region.stream) == made


def test_a_stream_follows_new_segments(region):
    journal = region.writer(segment_bytes=300)
    made = []
    for _ in range(5):
        made.append(append(journal, 7))
        assert drained(region.stream) == made[-1]


def test_a_stream_follows_a_writer_that_was_opened_again(region):
    made = append(region.writer(), 2)
    region.close()
    assert drained(region.stream) == made
    made = append(region.writer(), 2)
    assert [id.epoch for id in made] == [2, 2]
    assert drained(region.stream) == made


def test_rewinding_delivers_again_what_follows_the_positions(region):
    made = append(region.writer(segment_bytes=300), 20)
    append(region.writer(), 3)
    drained(region.stream)
    region.stream.rewind({f"{REGION}/0": (1, 15), f"{REGION}/1": (1, 3)})
    assert drained(region.stream, limit=4) == made[15:]


def test_rewinding_to_the_end_delivers_nothing_until_there_is_more(region):
    journal = region.writer(segment_bytes=300)
    append(journal, 20)
    region.stream.rewind({f"{REGION}/0": (1, 20)})
    assert drained(region.stream) == []
    made = append(journal, 10)
    assert drained(region.stream) == made


def test_rewinding_reaches_back_over_epochs(region):
    old = append(region.writer(), 3)
    region.close()
    new = append(region.writer(), 3)
    region.stream.rewind({f"{REGION}/0": (1, 2)})
    assert drained(region.stream) == [old[2], *new]
    region.stream.rewind({f"{REGION}/0": (2, 1)})
    assert drained(region.stream) == new[1:]


def test_rewinding_to_nothing_delivers_everything(region):
    made = append(region.writer(), 3)
    drained(region.stream)
    region.stream.rewind({})
    assert drained(region.stream) == made


def test_rewinding_drops_what_was_read_ahead(region):
    append(region.writer(), 10)
    region.stream.read(2)
    region.stream.rewind({f"{REGION}/0": (1, 8)})
    assert [id.seq for id in drained(region.stream)] == [9, 10]


def test_an_incomplete_record_waits_until_it_is_whole(journals):
    made = append(journals.writer(), 2)
    segment = journals.last_segment()
    whole = segment.read_bytes()
    os.truncate(segment, len(whole) - 5)
    assert drained(journals.stream) == made[:1]
    segment.write_bytes(whole)
    assert drained(journals.stream) == made[1:]


def test_a_half_written_header_waits_until_it_is_whole(journals):
    made = append(journals.writer(), 2)
    segment = journals.last_segment()
    whole = segment.read_bytes()
    os.truncate(segment, HEADER_BYTES - 1)
    assert drained(journals.stream) == []
    segment.write_bytes(whole)
    assert drained(journals.stream) == made


def test_a_half_written_next_segment_does_not_end_the_one_before(journals):
    journal = journals.writer()
    made = append(journal, 2)
    (journals.folder / "00000" / "00000001-000000000004.journal").write_bytes(b"SDJ1")
    assert drained(journals.stream) == made
    made = append(journal, 1)
    assert drained(journals.stream) == made


def test_what_was_appended_just_before_a_rotation_is_not_left_out(journals):
    journal = journals.writer(segment_bytes=300)
    append(journal, 1)
    drained(journals.stream)
    segment = journals.stream._writers["00000"]._segment
    read, made = segment.read, []

    def read_and_lose_the_race():
        found = read()
        if not made:
            made.extend(append(journal, 10))
        return found

    segment.read = read_and_lose_the_race
    assert drained(journals.stream) == []
    assert len(segments_of(journals.folder / "00000")) > 1
    assert drained(journals.stream) == made


def test_damage_leaves_out_the_rest_of_its_segment_alone_and_is_said_once(journals, caplog):
    made = append(journals.writer(segment_bytes=300), 12)
    first, second, *_ = segments_of(journals.folder / "00000")
    data = bytearray(first.read_bytes())
    data[HEADER_BYTES + 24 + 3 + 32 + 26] ^= 1  # in the payload of the second record
    first.write_bytes(data)
    resumes = int(second.stem.partition("-")[2])
    assert drained(journals.stream) == [made[0], *made[resumes - 1 :]]
    drained(journals.stream)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_damaged_header_leaves_out_its_segment_alone(journals):
    made = append(journals.writer(segment_bytes=300), 12)
    _, second, third, *_ = segments_of(journals.folder / "00000")
    second.write_bytes(b"XXXX" + second.read_bytes()[4:])
    gone = range(int(second.stem.partition("-")[2]), int(third.stem.partition("-")[2]))
    assert [id.seq for id in drained(journals.stream)] == [
        id.seq for id in made if id.seq not in gone
    ]


def test_a_kind_of_a_later_release_is_delivered(journals):
    journal = journals.writer()
    journal.append(200, b"from the future")
    made = append(journal, 1)
    assert drained(journals.stream)[1:] == made
