"""Events of a Kinesis data stream, read without a consumer library: shards and their lineage.

Order. A shard's children are opened once it has ended and all of it was delivered (a split has
one parent, a merge two), so that a writer's events stay in order over a resharding. Over all
shards, the entry that arrived first is delivered first. So whenever this reader is stopped,
everything it has not delivered arrived, but for a poll, no earlier than what it delivered last:
that is what makes an arrival time a safe place to begin again.

Rewinding. Positions have no time in them, and a day of events is too much to search. So the
reader asks (`since_ms`) for a time by which everything that had arrived was applied, which the
counters' store keeps beside the positions, and reads from a minute before it; what is known
already is dropped. If the stream does not reach back so far, that is a gap: a writer that has
ended since would not show it by itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.record.frames import Record
from app.streams.aws import AwsCalls, ExpiredIterator
from app.streams.envelope import Follower
from app.streams.interface import Positions, StreamGap
from app.streams.kinesis import KinesisClient
from fallback.clock import Clock

__all__ = ["KinesisStream"]

ENTRIES_PER_CALL = 100
MARGIN_MS = 60_000  # clocks differ, and what arrived may show a little later
POLL_S = 0.25  # five calls a second and shard are allowed
HOUR_MS = 3_600_000


@dataclass(slots=True)
class _Shard:
    """One shard being read.

    Attributes:
        id: Kinesis's name of it.
        iterator: where to read on; None once it has ended.
        last: sequence number of the last entry read; None before the first.
        due_s: not to be asked before, on the monotonic clock.
        entries: read and not delivered, oldest first.
    """

    id: str
    iterator: str | None
    last: str | None = None
    due_s: float = 0.0
    entries: deque[dict[str, Any]] = field(default_factory=deque)

    def arrived(self) -> datetime:
        """When the oldest entry that waits here arrived."""
        arrived: datetime = self.entries[0]["ApproximateArrivalTimestamp"]
        return arrived


class KinesisStream:
    """Reads all shards of a stream. Implements `EventStream`; to be rewound before a first read."""

    def __init__(
        self,
        client: KinesisClient,
        *,
        stream: str,
        since_ms: Callable[[], int],
        calls: AwsCalls,
        clock: Clock,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        poll_s: float = POLL_S,
    ) -> None:
        """Make the reader.

        Args:
            client: of Kinesis.
            stream: its name.
            since_ms: asked at every rewind: by when everything that had arrived lies before the
                positions, ms since the epoch; 0 where nothing is known.
            calls: makes the calls.
            clock: paces the polls.
            now_ms: wall clock, ms since the epoch.
            poll_s: a shard that had no more is asked again after this.
        """
        self._client = client
        self._stream = stream
        self._since_ms = since_ms
        self._calls = calls
        self._clock = clock
        self._now_ms = now_ms
        self._poll_s = poll_s

    def rewind(self, positions: Positions) -> None:
        """Start again behind the positions."""
        self._follower = Follower(positions)
        self._pending: deque[Record] = deque()
        self._shards: list[_Shard] = []
        self._ended: set[str] = set()
        self._start_ms = max(self._since_ms() - MARGIN_MS, 0)
        self._check_retention()
        self._open()

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, in order for each writer."""
        while len(self._pending) < limit and (shard := self._next()) is not None:
            entry = shard.entries.popleft()
            self._pending += self._follower.take(entry["Data"])
        return [self._pending.popleft() for _ in range(min(limit, len(self._pending)))]

    def _next(self) -> _Shard | None:
        """The shard whose next entry arrived first; None if there is no more yet."""
        for shard in self._shards:  # grows while children are opened
            self._fill(shard)
            if shard.iterator is None and not shard.entries:
                self._ended.add(shard.id)
                self._open()
        self._shards = [shard for shard in self._shards if shard.id not in self._ended]
        return min((s for s in self._shards if s.entries), key=_Shard.arrived, default=None)

    def _fill(self, shard: _Shard) -> None:
        """Read on until an entry waits, the shard has no more yet, or it has ended."""
        while shard.iterator is not None and not shard.entries:
            now_s = self._clock.monotonic()
            if now_s < shard.due_s:
                return
            try:
                reply = self._calls.call(
                    self._client.get_records,
                    ShardIterator=shard.iterator,
                    Limit=ENTRIES_PER_CALL,
                )
            except ExpiredIterator:
                shard.iterator = self._iterator(shard.id, shard.last)
                continue
            shard.iterator = reply.get("NextShardIterator")
            shard.entries += reply["Records"]
            if shard.entries:
                shard.last = shard.entries[-1]["SequenceNumber"]
            if not reply["MillisBehindLatest"]:
                shard.due_s = now_s + self._poll_s
                return

    def _open(self) -> None:
        """Begin to read the shards whose parents have all ended, or are gone."""
        listed = {shard["ShardId"]: shard for shard in self._listed()}
        known = self._ended | {shard.id for shard in self._shards}
        for id, shard in listed.items():
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")}
            if id not in known and not (parents & listed.keys()) - self._ended:
                self._shards.append(_Shard(id, self._iterator(id, None)))

    def _listed(self) -> Iterator[dict[str, Any]]:
        """All shards within retention."""
        page = self._calls.call(self._client.list_shards, StreamName=self._stream)
        yield from page["Shards"]
        while token := page.get("NextToken"):
            page = self._calls.call(self._client.list_shards, NextToken=token)
            yield from page["Shards"]

    def _iterator(self, shard: str, last: str | None) -> str:
        """Where to read a shard on from: behind the last entry, or from the start."""
        where: dict[str, str | datetime] = {"ShardIteratorType": "TRIM_HORIZON"}
        if last is not None:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
        elif self._start_ms:
            start = datetime.fromtimestamp(self._start_ms / 1_000, UTC)
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": start}
        reply = self._calls.call(
            self._client.get_shard_iterator, StreamName=self._stream, ShardId=shard, **where
        )
        iterator: str = reply["ShardIterator"]
        return iterator

    def _check_retention(self) -> None:
        """Refuse to begin where events may have been trimmed.

        Raises:
            StreamGap: the stream is older than it reaches back, and it does not reach back to
                the start.
        """
        reply = self._calls.call(self._client.describe_stream_summary, StreamName=self._stream)
        summary = reply["StreamDescriptionSummary"]
        created_ms = summary["StreamCreationTimestamp"].timestamp() * 1_000
        kept_ms = self._now_ms() - summary["RetentionPeriodHours"] * HOUR_MS
        if max(self._start_ms, created_ms) < kept_ms:
            raise StreamGap(
                f"{self._stream} reaches back {summary['RetentionPeriodHours']} h, which is not "
                "far enough"
            )
