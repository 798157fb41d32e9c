"""How things stand in one scorer: which rungs it can serve, and what keeps it from the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.features.applier import Applied
from app.features.online import Source
from app.features.snapshot import Snapshot
from app.models.artifact import Artifact
from app.publish import Published
from app.record.recorder import Recorder
from app.stand_in import StandIn
from app.telemetry import Gauges, RungState
from fallback.breaker import Breaker
from fallback.breaker_states import StateName
from fallback.errors import RungError
from fallback.pressure import Pressure
from fallback.rung import Reason, RungName

__all__ = ["Holdings", "Probes"]

PROBE_S = 0.5
_FULL_MODEL, _BATCH_MODEL = "model:full", "model:batch"

log = logging.getLogger(__name__)


class Probes:
    """Asks every source how it is, twice a second, through its breaker.

    So that a scorer knows without traffic, and a breaker gets its probes under the lightest.
    """

    def __init__(self, sources: Sequence[Source], *, now_ms: Callable[[], int]) -> None:
        self._sources = sources
        self._now_ms = now_ms
        self.why: dict[str, Reason | None] = dict.fromkeys(
            (source.region for source in sources), Reason.SOURCE_UNAVAILABLE
        )
        self._as_of_ms: dict[str, int] = {}

    async def run(self) -> None:
        """Probe for the life of the process."""
        while True:
            await asyncio.gather(*(self._probe(source) for source in self._sources))
            await asyncio.sleep(PROBE_S)

    async def _probe(self, source: Source) -> None:
        try:
            reply = await source.fetch(())
            away = [own for own in reply.shards if isinstance(own, RungError)]
            known = [own.as_of_ms for own in reply.shards if isinstance(own, Applied)]
            if known:
                self._as_of_ms[source.region] = min(known)
            self.why[source.region] = away[0].reason if away else None
        except Exception:
            log.exception("probe of %s", source.region)
            self.why[source.region] = Reason.BUG

    def ages_ms(self) -> dict[str, int]:
        """Age of each source's counters as last read; of a source that is away it grows."""
        now_ms = self._now_ms()
        return {region: max(now_ms - as_of_ms, 0) for region, as_of_ms in self._as_of_ms.items()}


class Held(Protocol):
    """Something that is followed on disk."""

    @property
    def refused(self) -> str | None:
        """Why its newest state is not in force."""
        ...

    def refresh(self) -> bool:
        """Look at the disk again."""
        ...


@dataclass(kw_only=True)
class Holdings:
    """Everything a scorer holds that may go missing.

    Attributes:
        artifact: the one in force, if it may decide.
        snapshot: of batch features.
        rules: the rule file.
        published: versions by kind, for the record.
        files: watched files by name.
        probes: of the sources.
        breakers: of sources and models.
        recorder: of decisions.
        pressure: sends requests down while there are too many.
        stand_in: what the lower rungs may approve; None for no bound.
        counters_age_max_ms: from which counters are stale.
        snapshot_age_max_ms: from which the snapshot is stale.
        wall: seconds since the epoch.
    """

    artifact: Callable[[], Artifact | None]
    snapshot: Published[Snapshot]
    rules: Callable[[], object | None]
    published: Mapping[str, Published[Any]]
    files: Mapping[str, Held]
    probes: Probes
    breakers: Sequence[Breaker]
    recorder: Recorder
    pressure: Pressure
    stand_in: StandIn | None
    counters_age_max_ms: int
    snapshot_age_max_ms: float
    wall: Callable[[], float] = field(default=time.time)

    def gauges(self) -> Gauges:
        """How things stand now."""
        without_ring = self.recorder.without_ring
        refused = {name: held.refused for name, held in self._held() if held.refused is not None}
        return Gauges(
            rungs={
                RungName.FULL.value: _state(self._batch() or self._counters()),
                RungName.BATCH.value: _state(self._batch() or self._open(_BATCH_MODEL)),
                RungName.RULES.value: _state(
                    Reason.RULES_UNAVAILABLE if self.rules() is None else None
                ),
                RungName.TIER_DEFAULT.value: _state(None),
            },
            breakers={breaker.name: breaker.state.value for breaker in self.breakers},
            ages=self._ages(),
            versions={
                name: held.version
                for name, held in self.published.items()
                if held.version is not None
            },
            refused=refused,
            journal=self.recorder.healthy,
            numbers={
                "pressure_depth": self.pressure.depth,
                "journal_without_ring": 0 if without_ring is None else 1,
            },
            errors={} if without_ring is None else {"journal": without_ring},
            exposure=None if self.stand_in is None else self.stand_in.exposure(),
            sources={
                region: None if (why := self._source(region)) is None else why.value
                for region in self.probes.why
            },
        )

    def refresh(self) -> None:
        """Look at everything on disk again. May run in a thread."""
        for name, held in self._held():
            if held.refresh():
                if held.refused is None:
                    log.info("%s: in force as now on disk", name)
                else:
                    log.error("%s: refused, the last good one stays: %s", name, held.refused)

    def _held(self) -> list[tuple[str, Held]]:
        shared = {} if self.stand_in is None else {"stand_in": self.stand_in}
        return [*self.published.items(), *self.files.items(), *shared.items()]

    def _batch(self) -> Reason | None:
        snapshot = self.snapshot.value
        if self.artifact() is None:
            return Reason.MODEL_UNAVAILABLE
        if snapshot is None:
            return Reason.SNAPSHOT_UNAVAILABLE
        if self.wall() * 1_000 - snapshot.as_of_ms > self.snapshot_age_max_ms:
            return Reason.FEATURES_STALE
        return None

    def _counters(self) -> Reason | None:
        """Why the full rung lacks counters; a region may be away where the model knows that."""
        if self._open(_FULL_MODEL):
            return Reason.BREAKER_OPEN
        whys = [self._source(region) for region in self.probes.why]
        away = [why for why in whys if why is not None]
        artifact = self.artifact()
        spared = artifact is not None and "regions" in artifact.facts.masked
        if away and not (spared and 2 * len(away) <= len(whys)):
            return away[0]
        return None

    def _source(self, region: str) -> Reason | None:
        """Why a region's counters cannot be read, or not wholly."""
        why = self._open(f"source:{region}") or self.probes.why[region]
        if why is None and self.probes.ages_ms().get(region, 0) > self.counters_age_max_ms:
            return Reason.FEATURES_STALE
        return why

    def _open(self, name: str) -> Reason | None:
        """Whether a breaker of this name, or of one of its shards, refuses calls."""
        for breaker in self.breakers:
            own = breaker.name.partition("/")[0] == name
            if own and breaker.state in {StateName.OPEN, StateName.ISOLATED}:
                return Reason.BREAKER_OPEN
        return None

    def _ages(self) -> dict[str, float]:
        ages = {f"counters:{name}": age / 1_000 for name, age in self.probes.ages_ms().items()}
        if self.snapshot.value is not None:
            ages["snapshot"] = self.wall() - self.snapshot.value.as_of_ms / 1_000
        return ages


def _state(why: Reason | None) -> RungState:
    return RungState(available=why is None, why=None if why is None else why.value)
