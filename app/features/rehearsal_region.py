"""One home region of a rehearsal: its journals, its store, and the appliers between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import redis

from app.features.applier import Applier
from app.features.online import Source
from app.features.shard import ShardClient
from app.features.spec import FeatureSet
from app.record.frames import Kind, Record
from app.record.journal import Journal, open_journal
from app.settings import Shard
from app.streams.connection import connect
from app.streams.interface import EventStream, Positions
from app.streams.journal_tail import JournalTail
from fallback.breaker import Breaker
from fallback.breaker_policy import BreakerPolicy
from fallback.clock import SystemClock

__all__ = ["TIMEOUT_MS", "RehearsalRegion"]

SCORERS = 3  # each with a journal of its own; the joiner's comes on top
# An applier takes a turn after so many of the batches, and then up to so many events.
TURN_SHARE = 0.6
TURN_EVENTS_MAX = 384
TIMEOUT_MS = 10_000


class RehearsalRegion:
    """A region in event time.

    Attributes:
        name: of the region.
        number: of the region.
        folder: of its state.
        now_ms: the moment that is played, ms since the epoch.
    """

    def __init__(
        self,
        name: str,
        number: int,
        folder: Path,
        servers: Sequence[Shard],
        *,
        features: FeatureSet,
        rng: np.random.Generator,
    ) -> None:
        """Open the journals and connect the appliers.

        Args:
            name: of the region.
            number: of the region.
            folder: of its state.
            servers: empty ones, one a shard.
            features: what is counted.
            rng: of the uneven pace.
        """
        self.name, self.number, self.folder = name, number, folder
        self.now_ms = 0
        self._rng = rng
        self._servers = servers
        journals = folder / "journal"
        self._journals = [
            open_journal(journals, region=number, fsync_ms=1_000) for _ in range(SCORERS + 1)
        ]
        self._appliers = [
            Applier(
                _connecting(server),
                _Uneven(JournalTail(journals), rng),
                features=features,
                now_ms=lambda: self.now_ms,
                shard=shard,
                shards=len(servers),
            )
            for shard, server in enumerate(servers)
        ]

    def __enter__(self) -> Self:
        for applier in self._appliers:
            applier.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for applier in self._appliers:
            applier.close()
        for journal in self._journals:
            journal.close()

    def source(self) -> Source:
        """Its store, as a scorer reads it; for the event loop that runs."""
        # Nothing here is late: a rehearsal measures no time, and must not step down for it.
        policy = BreakerPolicy(slow_call_ms=TIMEOUT_MS, probe_s_max=TIMEOUT_MS / 1_000)
        clients = [
            ShardClient(server, password=None, timeout_ms=TIMEOUT_MS, region=self.name)
            for server in self._servers
        ]
        breakers = [
            Breaker(self.name, policy, clock=SystemClock(), rng=random.Random(0)) for _ in clients
        ]
        return Source(self.name, clients, breakers=breakers)

    def decided(self, payload: bytes) -> None:
        """Write a decision into one scorer's journal."""
        self._append(self._journals[int(self._rng.integers(SCORERS))], Kind.DECISION, payload)

    def joined(self, payload: bytes) -> None:
        """Write an effect into the joiner's journal."""
        self._append(self._journals[SCORERS], Kind.EFFECT, payload)

    def apply_some(self) -> None:
        """Let some shards' appliers take some of the events."""
        for applier in self._appliers:
            if self._rng.random() < TURN_SHARE:
                applier.step()

    def apply_all(self) -> None:
        """Let all appliers come to the end of the journals."""
        for applier in self._appliers:
            while applier.step():
                pass

    def _append(self, journal: Journal, kind: Kind, payload: bytes) -> None:
        journal.append(kind, payload, unix_ms=self.now_ms)


class _Uneven:
    """A stream that brings more or less of what there is. Implements `EventStream`."""

    def __init__(self, stream: EventStream, rng: np.random.Generator) -> None:
        self._stream = stream
        self._rng = rng

    def rewind(self, positions: Positions) -> None:
        """See `EventStream.rewind`."""
        self._stream.rewind(positions)

    def read(self, limit: int) -> list[Record]:
        """See `EventStream.read`."""
        return self._stream.read(int(self._rng.integers(1, min(limit, TURN_EVENTS_MAX))))


def _connecting(server: Shard) -> Callable[[], redis.Redis]:
    return lambda: connect(server, None)
