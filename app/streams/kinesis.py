"""Events on a Kinesis data stream: the publisher, and what it shares with the reader.

The partition key is the journal writer, so that a writer's events are in one shard at a time. A
request holds at most one run of each writer, and the next one is sent when this one was taken
whole: then a part that is refused is sent again without anything of the same writer having
overtaken it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Protocol, TypedDict

import boto3

from app.record.frames import Record
from app.streams.aws import CONFIG, AwsCalls, TryAgain
from app.streams.envelope import Run, encode, runs_of
from app.streams.interface import Positions

__all__ = ["KinesisClient", "KinesisPublisher", "connect"]

# 32 runs of 128 KiB stay below the 5 MiB that a request may have.
REQUEST_RUNS_MAX = 32


class KinesisClient(Protocol):
    """What is used of boto3's Kinesis client."""

    def put_records(self, *, StreamName: str, Records: Sequence[Entry]) -> dict[str, Any]:  # noqa: N803
        """Put records on shards; some may be refused, which the answer says in their place."""
        ...

    def describe_stream_summary(self, *, StreamName: str) -> dict[str, Any]:  # noqa: N803
        """Retention and time of creation, among others."""
        ...

    def list_shards(self, **arguments: str) -> dict[str, Any]:
        """One page of the shards within retention, closed ones included."""
        ...

    def get_shard_iterator(self, **arguments: str | datetime) -> dict[str, Any]:
        """Where to read a shard from."""
        ...

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        """Records from there on, and where to read next; nothing next in a shard that ended."""
        ...


class Entry(TypedDict):
    """One record of a request."""

    Data: bytes
    PartitionKey: str


class KinesisPublisher:
    """Publishes the records of this host's writers. Implements `StreamPublisher`."""

    def __init__(
        self, client: KinesisClient, *, stream: str, published: Positions, calls: AwsCalls
    ) -> None:
        """Make the publisher.

        Args:
            client: of Kinesis.
            stream: its name.
            published: where the publisher goes on, by writer.
            calls: makes the calls.
        """
        self._client = client
        self._stream = stream
        self._published = dict(published)
        self._calls = calls

    def publish(self, records: Sequence[Record]) -> None:
        """Publish records; those given before are published again."""
        by_writer = runs_of(records, self._published)
        for turn in zip_longest(*by_writer.values()):
            runs = [run for run in turn if run is not None]
            for start in range(0, len(runs), REQUEST_RUNS_MAX):
                self._put(runs[start : start + REQUEST_RUNS_MAX])

    def _put(self, runs: Sequence[Run]) -> None:
        """Put runs of different writers, those that were refused again."""
        waiting = list(runs)

        def attempt() -> None:
            reply = self._calls.once(
                self._client.put_records,
                StreamName=self._stream,
                Records=[Entry(Data=encode(run), PartitionKey=run.name) for run in waiting],
            )
            results = list(zip(waiting, reply["Records"], strict=True))
            refused = [result for _, result in results if "ErrorCode" in result]
            self._published |= {run.name: run.last for run, at in results if "ErrorCode" not in at}
            waiting[:] = [run for run, at in results if "ErrorCode" in at]
            if refused:
                raise TryAgain(f"{len(refused)} runs were refused: {refused[0]['ErrorCode']}")

        self._calls.retrying(attempt)


def connect(*, region: str, endpoint: str | None = None) -> KinesisClient:
    """A client for background use: bounded waits, no retries of its own.

    Args:
        region: AWS's name of it.
        endpoint: another address than AWS's own, for tests.
    """
    client: KinesisClient = boto3.client(
        "kinesis", region_name=region, endpoint_url=endpoint, config=CONFIG
    )
    return client
