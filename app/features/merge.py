"""Counters of many attempts, merged over the sources by each aggregate's own operator.

Totals add, bitmaps OR, newest times take the maximum; formulas follow once all sources are in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from app.features import kernel
from app.features.applier import Applied, shard_of
from app.features.formulas import Float32s, Formulas
from app.features.packed import Reader, Records, Unreadable, key, layouts_of
from app.features.rings import Float64s, Int64s
from app.features.spec import Entity, FeatureSet, InputState
from fallback.errors import DependencyCorrupt, RungError, SourceUnavailable

__all__ = ["Ask", "Merge", "MergePlan", "Reply", "Streaming"]

HALF = 0.5
Positions = dict[str, tuple[int, int]]

# In the order of the kernel.
_STATES = (
    InputState.NOT_MAPPED.value,
    InputState.UNAVAILABLE.value,
    InputState.NEVER_SEEN.value,
    InputState.PRESENT.value,
)
_UNAVAILABLE = InputState.UNAVAILABLE.value
_NOTHING: frozenset[str] = frozenset()


class Streaming(msgspec.Struct, frozen=True, kw_only=True):
    """Streaming inputs of one attempt, merged over the sources.

    Attributes:
        inputs: in the order of the set's features, float32; NaN where there is no value.
        states: of each of the set's entities.
        regions_present: share of the regions that are in the values that are there, (0, 1].
        regions_least: the same of the entity that has the fewest.
        as_of_ms: the moment that they are of, ms since the epoch; when they were read, but in a
            replay.
        age_ms: age of the oldest counters that were used.
        positions: by "region/shard" that was used, the (epoch, seq) applied of each writer.
    """

    inputs: Float32s
    states: tuple[bytes, ...]
    regions_present: float
    regions_least: float
    as_of_ms: int
    age_ms: int
    positions: Mapping[str, Positions]

    @property
    def missing(self) -> frozenset[str]:
        """What of the counters could not be had.

        "entities" none at all of, some "regions", of an entity even "most_regions".
        """
        if self.regions_present >= 1.0 and _UNAVAILABLE not in self.states:
            return _NOTHING
        found = set()
        if _UNAVAILABLE in self.states:
            found.add("entities")
        if self.regions_present < 1.0:
            found.add("regions")
        if self.regions_least < HALF:
            found.add("most_regions")
        return frozenset(found)


class Ask(msgspec.Struct, frozen=True):
    """What one attempt asks for; see `app.features.online.OnlineStore.read`."""

    tenant: str
    ids: Mapping[Entity, str]
    amount: float
    as_of_ms: int | None = None


class Reply(msgspec.Struct, frozen=True):
    """One source's answer to a batch.

    Attributes:
        region: whose source it is.
        values: in the order of `Merge.names`; None for what is not there. What stands for the keys
            of a shard that cannot be used is not looked at.
        shards: what each shard says of itself, or why it cannot be used.
    """

    region: str
    values: list[bytes | None]
    shards: tuple[Applied | RungError, ...]


class _Found(NamedTuple):
    """A value that a source has of an attempt's entity."""

    source: int
    region: str
    row: int
    raw: bytes


class _Part(NamedTuple):
    """What one source answered: by entity, the row of who asks, and which of the values it is."""

    region: str
    asked: list[list[tuple[int, int]]]
    values: list[bytes | None]


class MergePlan:
    """Where everything of a feature set stands in the arrays of a batch."""

    def __init__(self, features: FeatureSet) -> None:
        counters = features.counters
        self.entities = features.entities
        self.width = len(counters)
        self.formulas = Formulas(features.features, counters)
        self.entity_of_counter = np.array(
            [self.entities.index(counter.entity) for counter in counters], dtype=np.int64
        )
        place = {counter.name: at for at, counter in enumerate(counters)}
        self.columns = [
            _Columns(reader, features.horizon_ms(entity), place)
            for entity, reader in layouts_of(features).items()
        ]
        self.folds = [of_entity.fold for of_entity in self.columns]
        self.distinct = np.concatenate([of_entity.distinct for of_entity in self.columns])
        self.is_distinct = np.zeros(self.width, dtype=np.int64)
        self.is_distinct[self.distinct] = 1
        self._prefixes: dict[str, list[str]] = {}  # as many as there are tenants with keys

    def prefixes(self, tenant: str) -> list[str]:
        """What the keys of a tenant start with, by entity."""
        known = self._prefixes.get(tenant)
        if known is None:
            known = [key(tenant, entity, "") for entity in self.entities]
            self._prefixes[tenant] = known
        return known


class _Columns:
    """Where an entity's counters stand among those of the set."""

    def __init__(self, reader: Reader, horizon_ms: int, place: Mapping[str, int]) -> None:
        layout = reader.layout
        self.fold = kernel.fold_plan(layout, horizon_ms, place)
        self.decode: Callable[[Sequence[bytes]], Records] = reader.decode
        self.windows = layout.windows
        self.horizon_ms = horizon_ms
        self.additive, self.distinct, self.last = (
            np.array([place[counter.name] for counter in family], dtype=np.int64)
            for family in (layout.additive, layout.distinct, layout.last)
        )


class Merge:
    """Attempts that are read together: their keys, and their counters source by source."""

    def __init__(self, plan: MergePlan, asks: Sequence[Ask]) -> None:
        rows, entities = len(asks), len(plan.entities)
        self._plan = plan
        self._amount = np.array([ask.amount for ask in asks])
        self._names: dict[str, int] = {}  # and which it is
        self._asked: list[list[tuple[int, int]]] = [[] for _ in plan.entities]
        mapped: list[bool] = []
        names = self._names
        for row, ask in enumerate(asks):
            ids, prefixes = ask.ids, plan.prefixes(ask.tenant)
            for entity, prefix, asked in zip(plan.entities, prefixes, self._asked, strict=True):
                id = ids.get(entity)
                mapped.append(id is not None)
                if id is not None:
                    asked.append((row, names.setdefault(prefix + id, len(names))))
        self._mapped = np.array(mapped, dtype=bool).reshape(rows, entities)
        self._values = np.zeros((rows, plan.width))
        self._bitmaps = np.zeros((rows, plan.width), dtype=np.uint64)
        self._live = np.zeros((entities, rows), dtype=bool)
        self._answered = np.zeros((rows, entities), dtype=np.int64)
        self._parts: list[_Part] = []
        self._missing: RungError | None = None
        self._positions: dict[str, Positions] = {}
        self._oldest_ms: int | None = None

    def names(self) -> list[str]:
        """Every key of the batch, once."""
        return list(self._names)

    def add(self, reply: Reply) -> None:
        """Take one source's answer in."""
        shards = len(reply.shards)
        usable = [self._noted(reply.region, at, own) for at, own in enumerate(reply.shards)]
        if all(usable):
            self._answered += self._mapped
            self._parts.append(_Part(reply.region, self._asked, reply.values))
            return
        there = [usable[shard_of(name, shards)] for name in self._names]
        asked = [[one for one in of_entity if there[one[1]]] for of_entity in self._asked]
        for at, of_entity in enumerate(asked):
            self._answered[[row for row, _ in of_entity], at] += 1
        self._parts.append(_Part(reply.region, asked, reply.values))

    def _noted(self, region: str, shard: int, own: Applied | RungError) -> bool:
        if isinstance(own, RungError):
            self._missing = self._missing or own
            return False
        self._positions[f"{region}/{shard}"] = own.positions
        oldest = own.as_of_ms if self._oldest_ms is None else min(self._oldest_ms, own.as_of_ms)
        self._oldest_ms = oldest
        return True

    def _merge(self, as_of_ms: Int64s) -> None:
        """Merge what all sources have, the sources in their order."""
        if not kernel.BUILT:
            for at in range(len(self._asked)):
                parts = enumerate(self._parts)
                self._merge_found(at, [one for of in parts for one in _found(*of, at)], as_of_ms)
            return
        for source, part in enumerate(self._parts):
            foreign = kernel.fold(
                self._plan.folds,
                part.asked,
                part.values,
                as_of_ms,
                values=self._values,
                bitmaps=self._bitmaps,
                live=self._live,
            )
            for at, row, raw in foreign:
                self._merge_found(at, [_Found(source, part.region, row, raw)], as_of_ms)

    def _merge_found(self, at: int, found: Sequence[_Found], as_of_ms: Int64s) -> None:
        """Read values of one entity, of whichever schema, with numpy and merge them by row."""
        if not found:
            return
        columns = self._plan.columns[at]
        try:
            records = columns.decode([one.raw for one in found])
        except Unreadable as error:
            if len(found) > 1:
                for one in found:  # find the one that spoils the batch
                    self._merge_found(at, [one], as_of_ms)
                return
            region, row = found[0].region, found[0].row
            self._missing = self._missing or DependencyCorrupt(str(error), dependency=region)
            self._answered[row, at] -= 1
            return
        rows = np.array([one.row for one in found])
        windows = columns.windows(records, as_of_ms[rows])
        # A value that is past its horizon adds nothing, but "never seen" is said of it.
        alive = windows.base_ms >= as_of_ms[rows] - columns.horizon_ms
        sources = [one.source for one in found]
        for source in dict.fromkeys(sources):  # within one no row comes twice
            start = sources.index(source)
            part = slice(start, start + sources.count(source))
            of = rows[part]
            self._live[at, of] |= alive[part]
            self._values[of[:, None], columns.additive] += windows.totals[part]
            self._bitmaps[of[:, None], columns.distinct] |= windows.bitmaps[part]
            last = (of[:, None], columns.last)
            self._values[last] = np.maximum(self._values[last], windows.last_ms[part])

    def results(
        self, as_of_ms: int | Int64s, *, read_ms: int | None = None
    ) -> list[Streaming | Exception]:
        """What each attempt gets.

        Args:
            as_of_ms: as of when, of all attempts or of each.
            read_ms: when they were read, where that is another time: their age is measured by it.
        """
        plan = self._plan
        now = np.full(len(self._values), as_of_ms, dtype=np.int64)
        self._merge(now)
        states, present, least = self._settled()
        inputs = plan.formulas.inputs(self._values, amount=self._amount, now_ms=now)
        aged_ms = int(now.max()) if read_ms is None else read_ms
        age_ms = max(aged_ms - (self._oldest_ms or aged_ms), 0)
        return [
            self._missing or SourceUnavailable("there is nothing to ask for")
            if of_entities is None
            else Streaming(
                inputs=of_row,
                states=of_entities,
                regions_present=share,
                regions_least=smallest,
                as_of_ms=at_ms,
                age_ms=age_ms,
                positions=self._positions,
            )
            for of_row, of_entities, share, smallest, at_ms in zip(
                inputs, states, present.tolist(), least.tolist(), now.tolist(), strict=True
            )
        ]

    def _settled(self) -> tuple[list[tuple[bytes, ...] | None], Float64s, Float64s]:
        """Counters of what was merged, in place, and how complete: see `kernel.settle`."""
        plan, sources = self._plan, len(self._parts)
        if kernel.BUILT:
            return kernel.settle(
                _STATES,
                entity_of=plan.entity_of_counter,
                distinct=plan.is_distinct,
                sources=sources,
                mapped=self._mapped,
                answered=self._answered,
                live=self._live,
                values=self._values,
                bitmaps=self._bitmaps,
            )
        known = (self._answered > 0) & self._mapped
        # A withdrawal may be applied before what it withdraws, which is nothing less than nothing.
        values = np.maximum(self._values, 0.0)
        values[:, plan.distinct] = np.bitwise_count(self._bitmaps[:, plan.distinct])
        values[~known[:, plan.entity_of_counter]] = np.nan
        self._values = values
        present = self._answered.sum(axis=1) / np.maximum(known.sum(axis=1) * sources, 1)
        least = np.where(known, self._answered, max(sources, 1)).min(axis=1) / max(sources, 1)
        states = (self._mapped * (1 + known + (known & self._live.T))).tolist()
        return (
            [
                tuple(_STATES[state] for state in of_row) if any_of else None
                for of_row, any_of in zip(states, known.any(axis=1).tolist(), strict=True)
            ],
            present,
            least,
        )


def _found(source: int, part: _Part, entity: int) -> list[_Found]:
    return [
        _Found(source, part.region, row, raw)
        for row, at in part.asked[entity]
        if (raw := part.values[at]) is not None
    ]
