"""What the shipper relies on, of every publisher: order, at least once, no loss in silence."""

from __future__ import annotations

import shutil

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from app.record.frames import Kind
from app.streams.envelope import RUN_BYTES_MAX, RUN_EVENTS_MAX
from app.streams.interface import StreamGap, StreamTailLost, StreamUnavailable
from app.streams.journal_tail import JournalTail

WRITER = "3/0"


def append(journal, count):
    return [journal.append(Kind.DECISION, b"a decision") for _ in range(count)]


def drained(stream, limit=100):
    found = []
    while batch := stream.read(limit):
        found += [record.id for record in batch]
    return found


def records_of(region):
    return JournalTail(region.folder).read(10_000)


def by_writer(found, writer):
    return [id for id in found if id.writer == writer]


# At least once, in order, and each once to a reader.


def test_a_publisher_that_crashed_before_its_checkpoint_publishes_again(shipped):
    journal = shipped.writer()
    made = append(journal, 10)
    shipped.ship()
    shipped.checkpoint = {WRITER: (1, 4)}
    shipped.start_publisher()
    made += append(journal, 5)
    shipped.ship()
    assert drained(shipped.reader) == made
    assert drained(shipped.new_reader()) == made


def test_what_is_published_again_in_other_batches_is_delivered_once(shipped):
    append(shipped.writer(), 20)
    records = records_of(shipped)
    for start, end in ((0, 7), (2, 5), (0, 11), (9, 20), (0, 20)):
        shipped.new_publisher({}).publish(records[start:end])
    assert drained(shipped.reader) == [record.id for record in records]


def test_two_publishers_of_the_same_writer_lose_nothing(shipped):
    append(shipped.writer(), 30)
    records = records_of(shipped)
    old, new = shipped.new_publisher({}), shipped.new_publisher({})
    old.publish(records[:10])
    new.publish(records[:15])
    old.publish(records[10:12])
    new.publish(records[15:20])
    old.publish(records[12:30])
    assert drained(shipped.reader) == [record.id for record in records]


def test_a_run_is_cut_before_it_gets_too_long(shipped):
    journal = shipped.writer()
    made = append(journal, 2 * RUN_EVENTS_MAX + 1)
    made += [journal.append(Kind.DECISION, bytes(RUN_BYTES_MAX // 2)) for _ in range(5)]
    made += [journal.append(Kind.DECISION, bytes(2 * RUN_BYTES_MAX))]
    shipped.publisher.publish(records_of(shipped))
    assert drained(shipped.reader) == made


def test_a_read_gathers_short_runs_until_it_has_enough(shipped):
    append(shipped.writer(), 30)
    for record in records_of(shipped):
        shipped.publisher.publish([record])
    assert [len(shipped.reader.read(25)) for _ in range(3)] == [25, 5, 0]


def test_publishing_nothing_to_an_empty_stream_is_fine(shipped):
    shipped.publisher.publish([])
    assert shipped.reader.read(10) == []


def test_an_event_that_the_journal_itself_lost_is_no_gap_of_the_stream(shipped):
    append(shipped.writer(), 10)
    records = records_of(shipped)
    damaged = [*records[:4], *records[6:]]
    shipped.publisher.publish(damaged[:4])
    shipped.publisher.publish(damaged[4:])
    assert drained(shipped.reader) == [record.id for record in damaged]


def test_a_publisher_that_starts_behind_a_lost_event_says_what_it_follows(shipped):
    append(shipped.writer(), 10)
    records = records_of(shipped)
    shipped.publisher.publish(records[:4])
    shipped.new_publisher({WRITER: (1, 4)}).publish(records[6:])
    assert len(drained(shipped.reader)) == 8


# A loss is said, never read over.


def test_a_reader_rewound_behind_a_gap_goes_on(shipped):
    append(shipped.writer(), 10)
    records = records_of(shipped)
    shipped.publisher.publish(records[5:])
    with pytest.raises(StreamGap, match=r"3/0 goes on behind \(1, 5\), not \(0, 0\)"):
        shipped.reader.read(10)
    shipped.reader.rewind({WRITER: (1, 5)})
    assert drained(shipped.reader) == [record.id for record in records[5:]]


# Valkey: what its server may do.


def test_a_stream_server_that_is_away_keeps_the_backlog_in_the_journal(on_valkey):
    region = on_valkey()
    journal = region.writer()
    made = append(journal, 3)
    region.ship()
    region.server.kill()
    made += append(journal, 3)
    records = region.tail.read(10)
    with pytest.raises(StreamUnavailable):
        region.publisher.publish(records)
    with pytest.raises(StreamUnavailable):
        region.reader.read(10)
    region.server.start()
    region.publisher.publish(records)
    assert drained(region.reader) == made


def test_a_stream_server_that_lost_its_last_writes_is_filled_again(on_valkey):
    region = on_valkey()
    made = append(region.writer(), 12)
    records = records_of(region)
    region.publisher.publish(records[:4])
    files = region.server.folder / "appendonlydir"
    shutil.copytree(files, region.server.folder / "backup")
    region.publisher.publish(records[4:8])
    assert drained(region.reader, limit=6) == made[:8]
    region.server.kill()
    shutil.rmtree(files)
    (region.server.folder / "backup").rename(files)
    region.server.start()

    with pytest.raises(StreamTailLost) as lost:  # on a connection that was made again unasked
        region.publisher.publish(records[8:])
    assert lost.value.positions == {WRITER: (1, 4)}
    region.publisher.publish(records[4:])
    reader = region.new_reader()
    assert drained(reader) == made
    reader.rewind({WRITER: (1, 8)})
    assert drained(reader) == made[8:]


def test_a_stream_that_lost_everything_is_noticed_without_new_events(on_valkey):
    region = on_valkey()
    append(region.writer(), 5)
    region.ship()
    region.client.flushall()
    with pytest.raises(StreamTailLost) as lost:
        region.publisher.publish([])
    assert lost.value.positions == {WRITER: (0, 0)}


def test_a_checkpoint_ahead_of_the_stream_is_refused(on_valkey):
    region = on_valkey()
    append(region.writer(), 5)
    region.ship()
    with pytest.raises(StreamTailLost) as lost:
        region.new_publisher({WRITER: (1, 9)}).publish([])
    assert lost.value.positions == {WRITER: (1, 5)}


def test_runs_beyond_retention_are_trimmed_and_missed(on_valkey):
    region = on_valkey(runs_kept=100)
    made = append(region.writer(), 400)
    for record in records_of(region):
        region.publisher.publish([record])
    assert 100 <= region.client.xlen(f"us:{WRITER}") < 300
    with pytest.raises(StreamGap):
        region.reader.read(10)
    region.reader.rewind({WRITER: (1, 300)})
    assert drained(region.reader) == made[300:]


def test_a_stream_whose_runs_are_gone_is_a_gap(on_valkey):
    region = on_valkey()
    append(region.writer(), 5)
    region.ship()
    region.client.delete(f"us:{WRITER}")
    with pytest.raises(StreamGap, match="gone"):
        region.reader.read(10)


def test_a_run_taken_out_of_the_middle_is_a_gap(on_valkey):
    region = on_valkey()
    append(region.writer(), 9)
    records = records_of(region)
    for start in (0, 3, 6):
        region.publisher.publish(records[start : start + 3])
    region.client.xdel(f"us:{WRITER}", "1-6")
    with pytest.raises(StreamGap, match=r"behind \(1, 6\), not \(1, 3\)"):
        region.reader.read(10)


def test_a_run_that_cannot_be_read_is_a_gap(on_valkey):
    region = on_valkey()
    append(region.writer(), 3)
    region.ship()
    region.client.xadd(f"us:{WRITER}", {"run": b"\xc1"}, id="1-4")
    region.client.hset("us:tails", WRITER, "1-4")
    with pytest.raises(StreamGap, match="cannot be read"):
        region.reader.read(10)


def test_of_two_publishers_at_the_same_moment_one_is_fenced(on_valkey):
    region = on_valkey()
    made = append(region.writer(), 6)
    records = records_of(region)
    slow, quick = region.new_publisher({}), region.new_publisher({})
    tails = slow._tails

    def overtaken(pipe, names):
        found = tails(pipe, names)
        quick.publish(records[:6])
        return found

    slow._tails = overtaken
    with pytest.raises(StreamUnavailable):
        slow.publish(records[:3])
    assert drained(region.reader) == made
    quick.publish([])  # what the stream ends with was not set back


def test_an_empty_read_is_one_command(on_valkey):
    region = on_valkey()
    for _ in range(3):
        append(region.writer(), 5)
    drained(region.stream)
    before = region.client.info("stats")["total_commands_processed"]
    for _ in range(10):
        assert region.reader.read(100) == []
    assert region.client.info("stats")["total_commands_processed"] - before == 11


# Kinesis: what the service may do.


def test_runs_that_were_refused_are_published_again_in_order(on_kinesis):
    region = on_kinesis()
    one, two = region.writer(), region.writer()
    made = {0: append(one, 3 * RUN_EVENTS_MAX), 1: append(two, 2 * RUN_EVENTS_MAX)}
    seen = []

    def every_second_of_writer_0(record):
        seen.append(record)
        refuse = record["PartitionKey"] == WRITER and len(seen) % 2
        return "ProvisionedThroughputExceededException" if refuse else None

    region.publishing.refuse = every_second_of_writer_0
    region.publisher.publish(records_of(region))
    assert all(len(set(keys)) == len(keys) for keys in region.publishing.requests)
    assert len(region.publishing.requests) > 3
    found = drained(region.reader)
    assert {writer: by_writer(found, writer) for writer in made} == made


def test_an_answer_that_was_lost_leads_to_a_second_delivery_that_is_dropped(on_kinesis):
    region = on_kinesis()
    made = append(region.writer(), 10)
    region.publishing.lose = [ReadTimeoutError(endpoint_url="kinesis")]
    region.ship()
    assert len(region.publishing.requests) == 2
    assert drained(region.reader) == made


def test_a_stream_that_goes_on_refusing_is_given_up_and_gone_on_with_later(on_kinesis):
    region = on_kinesis()
    made = append(region.writer(), 10)
    region.publishing.refuse = lambda _record: "InternalFailure"
    records = region.tail.read(10)
    with pytest.raises(StreamUnavailable, match="InternalFailure"):
        region.publisher.publish(records)
    assert 1 < len(region.publishing.requests) <= 11  # the budget
    region.publishing.refuse = lambda _record: None
    region.publisher.publish(records)
    assert drained(region.reader) == made


def test_a_service_that_is_away_is_left_alone_by_its_breaker(on_kinesis):
    region = on_kinesis()
    append(region.writer(), 1)
    region.publishing.lose = [EndpointConnectionError(endpoint_url="kinesis")] * 50
    records = region.tail.read(10)
    for _ in range(20):
        with pytest.raises(StreamUnavailable):
            region.publisher.publish(records)
    assert len(region.publishing.requests) == 5


def test_a_refusal_is_no_evidence_against_the_service(on_kinesis, refused):
    region = on_kinesis()
    made = append(region.writer(), 1)
    region.publishing.lose = [refused("AccessDeniedException")] * 20
    records = region.tail.read(10)
    for _ in range(20):
        with pytest.raises(StreamUnavailable, match="AccessDenied"):
            region.publisher.publish(records)
    region.publisher.publish(records)
    assert drained(region.reader) == made


def test_many_writers_take_several_requests(on_kinesis):
    region = on_kinesis()
    made = {journal.writer: append(journal, 2) for journal in (region.writer() for _ in range(40))}
    region.ship()
    found = drained(region.reader)
    assert {writer: by_writer(found, writer) for writer in made} == made
