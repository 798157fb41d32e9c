"""One region's journals and a stream of them: each implementation, real servers where there are any.

`region.stream` is what the applier would read: what is appended is shipped before every read.
"""
# ruff: noqa: N803 - arguments are called what the service calls them

from __future__ import annotations

import itertools
import random
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError

from app.features.applier import connect as connect_valkey
from app.record.frames import segments_of
from app.record.journal import open_journal
from app.streams.aws import AwsCalls, RetryBudget
from app.streams.journal_tail import JournalTail
from app.streams.kinesis import KinesisPublisher
from app.streams.kinesis import connect as connect_kinesis
from app.streams.kinesis_reader import KinesisStream
from app.streams.valkey import ValkeyPublisher, ValkeyStream
from fallback.clock import SystemClock

REGION = 3
SHIPPED_AT_ONCE = 64
MOTO_START_S_MAX = 20.0


class Journals:
    """Writers of one region's events, and the stream that reads them from this host."""

    number = REGION

    def __init__(self, folder):
        self.folder = folder
        self.stream = JournalTail(folder)
        self.open = []

    def writer(self, *, segment_bytes=2**20):
        journal = open_journal(
            self.folder, region=self.number, fsync_ms=0, segment_bytes=segment_bytes
        )
        self.open.append(journal)
        return journal

    def close(self, *journals):
        for journal in journals or tuple(self.open):
            self.open.remove(journal)
            journal.close()

    def last_segment(self, writer=0):
        return segments_of(self.folder / f"{writer:05d}")[-1]


class Shipped(Journals):
    """The same with a publisher between; a subclass says which stream."""

    def __init__(self, folder):
        super().__init__(folder)
        self.checkpoint = {}
        self.start_publisher()
        self.stream = Reading(self)
        self.reader = self.stream.reader

    def start_publisher(self):
        """As a shipper starts: from its checkpoint."""
        self.tail = JournalTail(self.folder)
        self.tail.rewind(self.checkpoint)
        self.publisher = self.new_publisher(self.checkpoint)

    def ship(self):
        """Publish what was appended; the checkpoint stays where it is."""
        while records := self.tail.read(SHIPPED_AT_ONCE):
            self.publisher.publish(records)


class Reading:
    """A reader before whose reads everything is shipped."""

    def __init__(self, region):
        self.region, self.reader = region, region.new_reader()

    def rewind(self, positions):
        self.reader.rewind(positions)

    def read(self, limit):
        self.region.ship()
        return self.reader.read(limit)


class OnValkey(Shipped):
    def __init__(self, folder, server, **options):
        self.server = server
        self.client = connect_valkey(server.shard, None)
        self.options = options
        super().__init__(folder)

    def new_publisher(self, published):
        return ValkeyPublisher(self.client, stream="us", published=published, **self.options)

    def new_reader(self):
        return ValkeyStream(self.client, stream="us")

    def close(self, *journals):
        super().close(*journals)
        if not journals:
            self.client.close()


class OnKinesis(Shipped):
    """On any client of Kinesis; `publishing` is the publisher's own, for faults of its own."""

    def __init__(self, folder, client, *, shards=2, publishing=None, clock=None, poll_s=0.0):
        self.client, self.publishing = client, publishing or client
        self.name = f"events-{secrets.token_hex(4)}"
        self.since_ms = 0
        self.clock, self.poll_s = clock or SystemClock(), poll_s
        client.create_stream(StreamName=self.name, ShardCount=shards)
        super().__init__(folder)

    def new_publisher(self, published):
        return KinesisPublisher(
            self.publishing, stream=self.name, published=published, calls=calls()
        )

    def new_reader(self):
        reader = KinesisStream(
            self.client,
            stream=self.name,
            since_ms=lambda: self.since_ms,
            calls=calls(),
            clock=self.clock,
            poll_s=self.poll_s,
        )
        reader.rewind({})
        return reader


class Resharding(OnKinesis):
    """Splits or merges shards between any two requests."""

    def __init__(self, folder):
        self.rng = random.Random(7)
        super().__init__(folder, LineageKinesis(), shards=1)

    def ship(self):
        while records := self.tail.read(SHIPPED_AT_ONCE):
            self.publisher.publish(records)
            self.reshard()

    def reshard(self):
        taking = self.client.taking()
        if len(taking) > 3:
            self.client.merge(*self.rng.sample(taking, 2))
        else:
            self.client.split(self.rng.choice(taking))


def calls(**options):
    """Calls of AWS that do not really wait."""
    options = {"budget": RetryBudget(), "rng": random.Random(1), "sleep": lambda _s: None} | options
    return AwsCalls("kinesis", **options)


@dataclass
class Shard:
    id: str
    parents: list
    keys: list
    records: list = field(default_factory=list)
    open: bool = True

    def described(self):
        names = ("ParentShardId", "AdjacentParentShardId")
        return {"ShardId": self.id, **dict(zip(names, self.parents, strict=False))}


class LineageKinesis:
    """One stream in memory, true to the service where the test server is not: in closed shards.

    A closed shard keeps its records and takes no more, its children take over its keys, and its
    last answer has no next iterator. An iterator that is no longer in `iterators` has expired.
    """

    def __init__(self):
        self.shards = []
        self.iterators = {}
        self.numbers = itertools.count()
        self.calls = []
        self.created = datetime.now(UTC)
        self.kept_h = 24

    def create_stream(self, *, StreamName, ShardCount):
        for number in range(ShardCount):
            self._add([], list(range(number, 1_024, ShardCount)))

    def split(self, shard):
        shard.open = False
        for half in (shard.keys[::2], shard.keys[1::2]):
            self._add([shard.id], half)

    def merge(self, one, two):
        one.open = two.open = False
        self._add([one.id, two.id], one.keys + two.keys)

    def taking(self):
        return [shard for shard in self.shards if shard.open]

    def put_records(self, *, StreamName, Records):
        return {"Records": [self._put(record) for record in Records]}

    def describe_stream_summary(self, *, StreamName):
        summary = {"RetentionPeriodHours": self.kept_h, "StreamCreationTimestamp": self.created}
        return {"StreamDescriptionSummary": summary}

    def list_shards(self, *, StreamName=None, NextToken="0"):
        """Two on a page and the newest first: the order is nothing to rely on."""
        at = int(NextToken)
        page = {"Shards": [shard.described() for shard in self.shards[::-1][at : at + 2]]}
        return page | ({"NextToken": str(at + 2)} if at + 2 < len(self.shards) else {})

    def get_shard_iterator(self, *, StreamName, ShardId, ShardIteratorType, **where):
        self.calls.append(ShardIteratorType)
        shard = next(shard for shard in self.shards if shard.id == ShardId)
        at = 0
        if "StartingSequenceNumber" in where:
            at = int(where["StartingSequenceNumber"]) + 1
        elif "Timestamp" in where:
            arrived = [record["ApproximateArrivalTimestamp"] for record in shard.records]
            at = sum(time < where["Timestamp"] for time in arrived)
        return {"ShardIterator": self._iterator(shard, at)}

    def get_records(self, *, ShardIterator, Limit):
        self.calls.append("GET_RECORDS")
        if ShardIterator not in self.iterators:
            raise refusal("ExpiredIteratorException")
        shard, at = self.iterators[ShardIterator]
        found = shard.records[at : at + Limit]
        after = at + len(found)
        reply = {"Records": found, "MillisBehindLatest": len(shard.records) - after}
        if shard.open or after < len(shard.records):
            reply["NextShardIterator"] = self._iterator(shard, after)
        return reply

    def _add(self, parents, keys):
        self.shards.append(Shard(f"shard-{len(self.shards)}", parents, keys))

    def _put(self, record):
        key = int(record["PartitionKey"].partition("/")[2])
        shard = next(shard for shard in self.taking() if key in shard.keys)
        number = str(len(shard.records))
        shard.records.append(
            {
                "Data": record["Data"],
                "SequenceNumber": number,
                "ApproximateArrivalTimestamp": datetime.now(UTC),
            }
        )
        return {"ShardId": shard.id, "SequenceNumber": number}

    def _iterator(self, shard, at):
        token = f"iterator-{next(self.numbers)}"
        self.iterators[token] = shard, at
        return token


class Unwilling:
    """A publisher's client of Kinesis that can refuse records and lose answers.

    Attributes:
        refuse: asked for every record of a request: the error to answer in its place, or None.
        lose: errors in place of the next answers; the requests are carried out.
        requests: partition keys of each request.
    """

    def __init__(self, client):
        self.client = client
        self.refuse = lambda _record: None
        self.lose = []
        self.requests = []

    def put_records(self, *, StreamName, Records):
        self.requests.append([record["PartitionKey"] for record in Records])
        errors = [self.refuse(record) for record in Records]
        taken = [record for record, error in zip(Records, errors, strict=True) if error is None]
        results = iter(
            self.client.put_records(StreamName=StreamName, Records=taken)["Records"]
            if taken
            else []
        )
        if self.lose:
            raise self.lose.pop(0)
        return {
            "Records": [
                next(results) if error is None else {"ErrorCode": error} for error in errors
            ]
        }


def refusal(code, status=400):
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "operation"
    )


@pytest.fixture(scope="session")
def moto():
    """Address of a test server for AWS, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    boto3.setup_default_session(aws_access_key_id="test", aws_secret_access_key="test")
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up_s = time.monotonic() + MOTO_START_S_MAX
    while not _answers(address):
        assert server.poll() is None
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
    warm = boto3.client("kinesis", region_name="us-east-1", endpoint_url=address)
    warm.create_stream(StreamName="warm", ShardCount=1)
    warm.put_record(StreamName="warm", Data=b"the first one takes seconds", PartitionKey="0")
    yield address
    server.kill()
    server.wait()
    boto3.DEFAULT_SESSION = None


def _answers(address):
    try:
        with urllib.request.urlopen(f"{address}/moto-api/data.json", timeout=2):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


@pytest.fixture
def closing():
    """Closes regions at the end."""
    with ExitStack() as stack:

        def keep(region):
            stack.callback(region.close)
            return region

        yield keep


@pytest.fixture
def journals(tmp_path, closing):
    """A region whose stream is its journals: for what only files can do."""
    return closing(Journals(tmp_path / "events"))


@pytest.fixture
def on_valkey(tmp_path, valkey, closing):
    """Makes a region whose stream is on a Valkey server of its own."""
    return lambda **options: closing(OnValkey(tmp_path / "events", valkey, **options))


@pytest.fixture
def on_kinesis(tmp_path, moto, closing):
    """Makes a region whose stream is on a test server for Kinesis."""

    def make():
        client = connect_kinesis(region="us-east-1", endpoint=moto)
        return closing(OnKinesis(tmp_path / "events", client, publishing=Unwilling(client)))

    return make


@pytest.fixture
def resharding(tmp_path, closing):
    """Makes a region whose Kinesis stream is resharded between any two requests."""
    return lambda: closing(Resharding(tmp_path / "events"))


@pytest.fixture
def lineage(tmp_path, closing):
    """Makes a region on the Kinesis in memory."""
    return lambda **options: closing(OnKinesis(tmp_path / "events", LineageKinesis(), **options))


@pytest.fixture(params=["on_valkey", "on_kinesis", "resharding"])
def shipped(request):
    """A region whose stream is published, one implementation after the other."""
    return request.getfixturevalue(request.param)()


@pytest.fixture(params=["journals", "on_valkey", "on_kinesis", "resharding"])
def region(request):
    """One region's writers and stream, one implementation after the other."""
    made = request.getfixturevalue(request.param)
    return made if request.param == "journals" else made()


@pytest.fixture
def refused():
    """An error of AWS: `refused(code, status)`."""
    return refusal


@pytest.fixture
def reading():
    """Makes further readers of a region: `reading(region)`."""
    return Reading
