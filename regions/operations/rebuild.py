"""Rebuild a region's store: filled from history under a new generation, compared, switched to.

While it is built the region goes on as before, on whatever rung its store allows. The switch
takes the store away for as long as its servers need to stop and start; what history does not have
yet the applier adds from stream and journals. Claims on attempt ids are not rebuilt: a retry
across the switch may be decided twice, and is reconciled from history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import redis

from app.features.applier import Applied
from app.history.counted import checkpoint_of
from app.streams.interface import START, Positions
from regions.operations.engine import Finding, Step, done, not_yet, refused
from regions.operations.next_store import NextStore, Report

__all__ = ["Rebuilding", "Servers"]

READY_WAIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The supervised servers of the region's own store.

    Attributes:
        clients: one a shard.
        hold: ends them and keeps them down.
        release: lets them start, and returns when they answer.
        applied: what each has applied; raises redis.RedisError where one is away or cold.
    """

    clients: Sequence[redis.Redis]
    hold: Callable[[], None]
    release: Callable[[], None]
    applied: Callable[[], list[Applied]]


@dataclass(slots=True, kw_only=True)
class Rebuilding:
    """The steps for one region.

    Attributes:
        region: whose store it is.
        store: that is built.
        servers: of the store in use.
        report: told the share done and what is being done.
        values: of the new store, by shard, once it is built.
        before: the store in use when the switch began, by generation; nothing if it was lost.
    """

    region: str
    store: NextStore
    servers: Servers
    report: Report
    values: Mapping[str, int] = field(default_factory=dict)
    before: dict[str, Applied] = field(default_factory=dict)

    def steps(self) -> list[Step]:
        """From looking at history to a new generation that is complete."""
        return [
            Step(name=f"{self.region} has a history", check=self._history),
            Step(
                name="a new store is filled beside",
                check=self._filled,
                act=self._fill,
            ),
            Step(name="it has the counters of the old one", check=self._same, may_be_forced=True),
            Step(
                name="the new store is in use and complete",
                check=lambda: not_yet("the old one is"),
                act=self._switch,
                verify=self._complete,
                wait_s=READY_WAIT_S,
            ),
        ]

    def _positions(self) -> Positions:
        return checkpoint_of(self.store.history).positions

    def _history(self) -> Finding:
        positions = self._positions()
        if not positions:
            return refused("there is none to build from")
        return done(f"of {len(positions)} writers")

    def _filled(self) -> Finding:
        if self.values:
            return done(", ".join(f"{name}: {count} values" for name, count in self.values.items()))
        return not_yet("one was begun" if self.store.built else "there is none")

    def _fill(self) -> None:
        self.values = self.store.build(self.report)

    def _same(self) -> Finding:
        """A sample of the new keys is looked for in the old store, unless that is lost."""
        if not self.values:
            return not_yet("nothing is filled yet")
        try:
            if not all(one.ready for one in self.servers.applied()):
                return done("the old one is incomplete: nothing to compare with")
            known, sampled = self.store.compare(self.servers.clients)
        except redis.RedisError as error:
            return done(f"the old one is lost ({error}): nothing to compare with")
        says = f"{known} of {sampled} sampled keys"
        return done(says) if known == sampled else refused(says)

    def _switch(self) -> None:
        self.before = self._in_use()
        self.servers.hold()
        try:
            self.store.exchange()
        finally:
            self.servers.release()

    def _in_use(self) -> dict[str, Applied]:
        try:
            return {one.generation: one for one in self.servers.applied()}
        except redis.RedisError:
            return {}

    def _wanted(self) -> Positions:
        """The farthest that history or the store before had come, by writer."""
        wanted = dict(self._positions())
        for applied in self.before.values():
            for name, at in applied.positions.items():
                wanted[name] = max(wanted.get(name, START), at)
        return wanted

    def _complete(self) -> Finding:
        """Whether every shard is of a new generation, ready, and as far as the old one was."""
        applied = self.servers.applied()
        if any(one.generation in self.before for one in applied):
            return refused("the old generation is in use")
        wanted = self._wanted()
        for number, one in enumerate(applied):
            if not one.ready:
                return not_yet(f"shard {number} catches up with the journals")
            late = [name for name, at in wanted.items() if one.positions.get(name, START) < at]
            if late:
                return not_yet(f"shard {number} lacks events of {len(late)} writers")
        return done(f"generation {', '.join(one.generation for one in applied)}")
