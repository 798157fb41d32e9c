"""One entity, explained: what each region's store holds of it, merged, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.errors import OperatorError
from app.features.formulas import Formulas
from app.features.held import Held, read_store
from app.features.merge import Ask, Merge, MergePlan
from app.features.packed import key, layouts_of
from app.features.snapshot import load_snapshot
from app.features.spec import Entity, Feature, FeatureSet, Formula
from app.publish import PublicationError, current
from app.settings import ScorerSettings

__all__ = ["Explained", "SnapshotRow", "entity_of", "explain"]

NAN = float("nan")
_OF_THE_AMOUNT = {Formula.RATIO, Formula.DEVIATION}


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRow:
    """What the snapshot has of the entity.

    Attributes:
        problem: why there is no snapshot; empty where there is one.
        version: of the snapshot.
        as_of_ms: the midnight it is of.
        state: of the entity.
        counters: by name.
        features: those that need no amount.
    """

    problem: str = ""
    version: str = ""
    as_of_ms: int = 0
    state: str = ""
    counters: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """An entity as a decision would see it now.

    Attributes:
        key: of its value in the stores.
        now_ms: when it was read, ms since the epoch.
        state: of the counters, all regions together.
        features: those that need no amount; None where there is no value.
        regions: what each store holds.
        snapshot: what the snapshot has; None for an entity that it has no rows of.
    """

    key: str
    now_ms: int
    state: str
    features: Mapping[str, float | None]
    regions: Sequence[Held]
    snapshot: SnapshotRow | None


def entity_of(name: str, features: FeatureSet) -> Entity:
    """The entity of that name.

    Raises:
        OperatorError: nothing is counted of it.
    """
    if name in features.entities:
        return Entity(name)
    counted = ", ".join(features.entities)
    raise OperatorError(f"nothing is counted of {name!r}; choose one of {counted}.")


def explain(settings: ScorerSettings, entity: Entity, id: str, *, tenant: str) -> Explained:
    """Read an entity from every store of the settings, and from the region's snapshot.

    Args:
        settings: of the region.
        entity: what it is.
        id: which one.
        tenant: whose.

    Raises:
        OperatorError: no store answers.
    """
    features = settings.feature_set
    name = key(tenant, entity, id)
    now_ms = time.time_ns() // 1_000_000
    reader = layouts_of(features)[entity]
    password = settings.datastore_password()
    read = [
        read_store(address, name, reader, password=password, now_ms=now_ms)
        for address in settings.source_addresses()
    ]
    if all(one.held.problem for one in read):
        raise OperatorError("; ".join(f"{one.held.region}: {one.held.problem}" for one in read))
    merge = Merge(MergePlan(features), [Ask(tenant, {entity: id}, NAN)])
    for one in read:
        merge.add(one.reply)
    merged = merge.results(now_ms)[0]
    if isinstance(merged, BaseException):  # a value that cannot be read, and no other
        raise OperatorError(f"{name}: {merged}.")
    at = features.entities.index(entity)
    return Explained(
        key=name,
        now_ms=now_ms,
        state=merged.states[at].decode(),
        features={
            feature.name: _known(value)
            for feature, value in zip(features.features, merged.inputs.tolist(), strict=True)
            if _follows(feature, {counter.name for counter in features.counters_of(entity)})
        },
        regions=[one.held for one in read],
        snapshot=_snapshot(settings, entity, id, tenant)
        if entity in features.batch_entities
        else None,
    )


def _snapshot(settings: ScorerSettings, entity: Entity, id: str, tenant: str) -> SnapshotRow:
    features = settings.feature_set
    folder = settings.published / "snapshot"
    try:
        snapshot = load_snapshot(folder, current(folder), features=features)
    except PublicationError as error:
        return SnapshotRow(problem=str(error))
    values, states = snapshot.read(tenant, {entity: id})
    counters = features.snapshot_counters
    inputs = Formulas(features.batch_features, counters).inputs(
        values[None, :], amount=np.array([NAN]), now_ms=np.array([snapshot.as_of_ms])
    )[0]
    mine = {counter.name: at for at, counter in enumerate(counters) if counter.entity is entity}
    return SnapshotRow(
        version=snapshot.version,
        as_of_ms=snapshot.as_of_ms,
        state=states[features.batch_entities.index(entity)].decode(),
        counters={name: float(values[at]) for name, at in mine.items() if not np.isnan(values[at])},
        features={
            feature.name: _known(value)
            for feature, value in zip(features.batch_features, inputs.tolist(), strict=True)
            if _follows(feature, set(mine))
        },
    )


def _follows(feature: Feature, counters: set[str]) -> bool:
    """Whether a feature follows from these counters and no amount."""
    return feature.formula not in _OF_THE_AMOUNT and set(feature.counters) <= counters


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
