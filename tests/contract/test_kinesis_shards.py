"""Shards of a Kinesis stream: lineage, time, iterators; in memory, where all of it can be had."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from app.record.frames import Kind
from app.streams.interface import StreamGap, StreamUnavailable
from fallback.clock import ManualClock

MARGIN_S = 60


def append(journal, count):
    return [journal.append(Kind.DECISION, b"a decision") for _ in range(count)]


def drained(stream, limit=100):
    found = []
    while batch := stream.read(limit):
        found += [record.id for record in batch]
    return found


def by_writer(found, writer):
    return [id for id in found if id.writer == writer]


def backdate(region, seconds):
    """Let what is on the stream have arrived earlier."""
    for shard in region.client.shards:
        for record in shard.records:
            record["ApproximateArrivalTimestamp"] -= timedelta(seconds=seconds)


def test_children_are_read_after_their_parent_and_a_merged_shard_after_both(lineage):
    region = lineage(shards=1)
    writers = [region.writer() for _ in range(6)]
    made = {writer.writer: [] for writer in writers}
    reader = region.new_reader()
    found = []
    kinesis = region.client
    for reshard in (
        lambda: kinesis.split(kinesis.shards[0]),
        lambda: kinesis.split(kinesis.shards[1]),
        lambda: kinesis.merge(kinesis.shards[2], kinesis.shards[3]),
        lambda: None,
    ):
        for writer in writers:
            made[writer.writer] += append(writer, 5)
        region.ship()
        found += [record.id for record in reader.read(17)]
        reshard()
    found += drained(reader)
    assert {writer: by_writer(found, writer) for writer in made} == made
    again = drained(region.new_reader())
    assert {writer: by_writer(again, writer) for writer in made} == made


def test_lineage_goes_before_arrival_times_which_are_approximate(lineage):
    region = lineage(shards=1)
    journal = region.writer()
    made = append(journal, 3)
    region.ship()
    region.client.split(region.client.shards[0])
    made += append(journal, 3)
    region.ship()
    for record in region.client.shards[1].records + region.client.shards[2].records:
        record["ApproximateArrivalTimestamp"] -= timedelta(seconds=1)
    assert drained(region.new_reader()) == made


def test_a_parent_that_was_trimmed_away_is_not_waited_for(lineage):
    region = lineage(shards=1)
    append(region.writer(), 3)
    region.client.split(region.client.shards[0])
    del region.client.shards[0]
    region.ship()
    assert len(drained(region.new_reader())) == 3


def test_the_entry_that_arrived_first_comes_first_over_all_shards(lineage):
    region = lineage(shards=2)
    one, two = region.writer(), region.writer()
    made = []
    for writer in (one, two, two, one, two, one):
        made += append(writer, 1)
        region.ship()
    assert drained(region.new_reader()) == made


def test_an_expired_iterator_is_renewed_where_the_reader_stands(lineage):
    region = lineage(shards=1)
    journal = region.writer()
    made = append(journal, 3)
    assert drained(region.stream) == made
    region.client.iterators.clear()
    made = append(journal, 3)
    assert drained(region.stream) == made
    assert region.client.calls.count("AFTER_SEQUENCE_NUMBER") == 1


def test_an_iterator_that_expired_before_the_first_entry_starts_again(lineage):
    region = lineage(shards=1)
    region.client.iterators.clear()
    made = append(region.writer(), 3)
    assert drained(region.stream) == made


def test_a_rewind_begins_a_little_before_what_is_known_to_be_applied(lineage):
    region = lineage(shards=1)
    journal = region.writer()
    for _ in range(3):
        append(journal, 100)
        region.ship()
        backdate(region, 10 * MARGIN_S)
    made = append(journal, 5)
    region.ship()
    region.since_ms = time.time_ns() // 1_000_000
    reader = region.new_reader()
    assert region.client.calls[-1] == "AT_TIMESTAMP"
    with pytest.raises(StreamGap):
        reader.read(10)
    reader.rewind({"3/0": (1, 300)})
    assert drained(reader) == made


def test_a_start_beyond_retention_is_a_gap_even_without_further_events(lineage):
    region = lineage(shards=1)
    region.client.created = datetime.now(UTC) - timedelta(days=9)
    with pytest.raises(StreamGap, match="24 h"):
        region.reader.rewind({})
    region.since_ms = int((time.time() - 25 * 3_600) * 1_000)
    with pytest.raises(StreamGap, match="24 h"):
        region.reader.rewind({"3/0": (1, 1)})
    region.since_ms = int((time.time() - 23 * 3_600) * 1_000)
    region.reader.rewind({"3/0": (1, 1)})


def test_a_shard_without_more_is_left_alone_for_a_while(lineage):
    clock = ManualClock()
    region = lineage(shards=1, clock=clock, poll_s=0.25)
    made = append(region.writer(), 3)
    assert drained(region.stream) == made
    before = len(region.client.calls)
    made = append(region.open[0], 1)
    for _ in range(50):
        assert region.stream.read(10) == []
    assert len(region.client.calls) == before
    clock.advance(0.25)
    assert drained(region.stream) == made


def test_a_shard_with_more_is_read_on_without_a_pause(lineage):
    region = lineage(shards=1, clock=ManualClock(), poll_s=0.25)
    append(region.writer(), 5)
    journal = region.open[0]
    for _ in range(250):  # entries; 100 come with one answer
        append(journal, 1)
        region.ship()
    assert len(region.reader.read(10_000)) == 255


def test_throttled_reads_are_tried_again_within_the_budget(lineage, refused):
    region = lineage(shards=1)
    made = append(region.writer(), 3)
    region.ship()
    answer, throttled = region.client.get_records, []

    def after_three_refusals(**arguments):
        if len(throttled) < 3:
            throttled.append(arguments)
            raise refused("ProvisionedThroughputExceededException")
        return answer(**arguments)

    region.client.get_records = after_three_refusals
    assert drained(region.reader) == made


def test_an_outage_between_two_shards_loses_nothing_that_was_read(lineage, refused):
    region = lineage(shards=2)
    made = {journal.writer: append(journal, 3) for journal in (region.writer(), region.writer())}
    region.ship()
    answer = region.client.get_records

    def second_shard_fails(**arguments):
        if region.client.iterators[arguments["ShardIterator"]][0].id == "shard-1":
            raise refused("AccessDeniedException")
        return answer(**arguments)

    region.client.get_records = second_shard_fails
    with pytest.raises(StreamUnavailable):
        region.reader.read(10)
    region.client.get_records = answer
    found = drained(region.reader)
    assert {writer: by_writer(found, writer) for writer in made} == made
