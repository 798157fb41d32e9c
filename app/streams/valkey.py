"""Events on a Valkey server of their own: one stream a journal writer, ids are event identities.

    <stream>:tails        hash: writer -> id that its stream ends with
    <stream>:<writer>     stream of runs; the id of a run is <epoch>-<seq> of its last event

With ids that are positions, a rewind is exact: no clock, no search, no second bookkeeping. With a
stream a writer, its order is the server's, and no writer waits behind a busy one. The tails say
in one small reply who has something new, so an empty read is one round trip, and they tell a
publisher whether the server came back without its last writes.

Runs and tails change in one transaction under WATCH, which fences a second publisher of the same
writer. Retention is a number of runs a writer: it bounds memory, and a publisher that gathers for
20 ms makes at most 50 runs a second, so that 100,000 of them reach back half an hour or more.
What was trimmed shows as a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import TypeVar, cast

import redis

from app.record.frames import Record
from app.streams.envelope import Follower, encode, runs_of
from app.streams.interface import (
    START,
    Position,
    Positions,
    StreamGap,
    StreamTailLost,
    StreamUnavailable,
    position_of,
    writer_of,
)

__all__ = ["ValkeyPublisher", "ValkeyStream"]

FIELD = b"run"
RUNS_PER_FETCH = 8  # of each writer; of 128 KiB at most
RUNS_KEPT = 100_000

T = TypeVar("T")


class ValkeyPublisher:
    """Publishes the records of this host's writers. Implements `StreamPublisher`."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        stream: str,
        published: Positions,
        runs_kept: int = RUNS_KEPT,
    ) -> None:
        """Make the publisher.

        Args:
            client: of the stream's server.
            stream: what its keys start with.
            published: where the publisher goes on, by writer.
            runs_kept: of each writer, at least; older ones are trimmed.
        """
        self._client = client
        self._stream = stream
        self._published = dict(published)
        self._runs_kept = runs_kept

    def publish(self, records: Sequence[Record]) -> None:
        """Publish what is not on the stream yet."""
        try:
            with self._client.pipeline(transaction=True) as pipe:
                self._publish(pipe, records)
        except redis.RedisError as error:
            raise StreamUnavailable(f"the stream takes no events: {error}") from error

    def _publish(self, pipe: redis.client.Pipeline, records: Sequence[Record]) -> None:
        names = sorted({*self._published, *(writer_of(record.id) for record in records)})
        if not names:
            return
        tails = self._tails(pipe, names)
        fresh = [r for r in records if position_of(r.id) > tails[writer_of(r.id)]]
        self._published = tails
        if not fresh:
            return
        pipe.multi()
        runs = runs_of(fresh, tails)
        for name, mine in runs.items():
            for run in mine:
                pipe.xadd(
                    f"{self._stream}:{name}",
                    {FIELD: encode(run)},
                    id=_text(run.last),
                    maxlen=self._runs_kept,
                )
        ends = {name: mine[-1].last for name, mine in runs.items()}
        pipe.hset(f"{self._stream}:tails", mapping={name: _text(end) for name, end in ends.items()})
        pipe.execute()
        self._published |= ends

    def _tails(self, pipe: redis.client.Pipeline, names: Sequence[str]) -> dict[str, Position]:
        """What the stream ends with, by writer; from here on no one else may change it.

        Raises:
            StreamTailLost: it ends before what was published.
        """
        pipe.watch(*(f"{self._stream}:{name}" for name in names))  # type: ignore[no-untyped-call]
        found = cast("list[bytes | None]", pipe.hmget(f"{self._stream}:tails", list(names)))
        tails = dict(zip(names, map(_position, found), strict=True))
        lost = {
            name: tail for name, tail in tails.items() if tail < self._published.get(name, START)
        }
        if lost:
            self._published |= lost
            raise StreamTailLost(lost)
        return tails


class ValkeyStream:
    """Reads the runs of all writers. Implements `EventStream`."""

    def __init__(self, client: redis.Redis, *, stream: str) -> None:
        """Make the reader; it starts before every event.

        Args:
            client: of the stream's server.
            stream: what its keys start with.
        """
        self._client = client
        self._stream = stream
        self.rewind({})

    def rewind(self, positions: Positions) -> None:
        """Start again behind the positions."""
        self._follower = Follower(positions)
        self._pending: deque[Record] = deque()

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, in order for each writer."""
        try:
            if len(self._pending) < limit:
                self._fetch(limit)
        except redis.RedisError as error:
            raise StreamUnavailable(f"the stream gives no events: {error}") from error
        return [self._pending.popleft() for _ in range(min(limit, len(self._pending)))]

    def _fetch(self, limit: int) -> None:
        """Read runs until there are enough events, or no more."""
        found = cast("dict[bytes, bytes]", self._client.hgetall(f"{self._stream}:tails"))
        tails = {name.decode(): _position(id) for name, id in found.items()}
        while len(self._pending) < limit:
            behind = [name for name, tail in tails.items() if self._position(name) < tail]
            if not behind:
                return
            with self._client.pipeline(transaction=False) as pipe:
                for name in behind:
                    start = f"({_text(self._position(name))}"
                    pipe.xrange(f"{self._stream}:{name}", min=start, count=RUNS_PER_FETCH)
                replies = cast("list[list[tuple[bytes, dict[bytes, bytes]]]]", pipe.execute())
            for name, reply in zip(behind, replies, strict=True):
                if not reply:
                    raise StreamGap(f"the events of writer {name} behind its position are gone")
            # One run of each writer in turn, so that none waits behind a busy one.
            for entry in chain.from_iterable(zip_longest(*replies)):
                if entry is not None:
                    self._pending += self._follower.take(entry[1].get(FIELD, b""))

    def _position(self, name: str) -> Position:
        return self._follower.positions.get(name, START)


def _text(position: Position) -> str:
    return f"{position[0]}-{position[1]}"


def _position(id: bytes | None) -> Position:
    if id is None:
        return START
    epoch, _, seq = id.partition(b"-")
    return int(epoch), int(seq)
