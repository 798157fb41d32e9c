"""The regions' stores as the running world has them: own shards, and who reads copies of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import redis

from app.errors import OperatorError
from app.features.applier import APPLIED_KEY, Applied
from app.settings import ScorerSettings, Shard, load
from app.streams.connection import connect
from app.streams.interface import START
from regions.world.home import Home
from regions.world.plan import Plan

__all__ = ["RunningWorld", "Stores", "applied_of", "behind", "running_world"]


def applied_of(shard: Shard, password: str | None) -> Applied | None:
    """What a store says it has applied; None of a cold one.

    Raises:
        redis.RedisError: it is away.
    """
    client = connect(shard, password, name="stepdown-operations")
    try:
        raw = cast("bytes | None", client.get(APPLIED_KEY))
    finally:
        client.close()
    try:
        return None if raw is None else msgspec.msgpack.decode(raw, type=Applied)
    except msgspec.MsgspecError as error:
        raise redis.RedisError(f"{shard.host}:{shard.port} has no readable marker") from error


def behind(copy: Applied | None, own: Applied) -> str | None:
    """Why a copy has not yet what the region's own store had; None if it has."""
    if copy is None:
        return "is cold"
    if copy.generation != own.generation:
        return "is of another generation"
    late = sum(copy.positions.get(name, START) < at for name, at in own.positions.items())
    return f"lacks events of {late} writers" if late else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where counters are read and written, and by whom.

    Attributes:
        settings: of each region's scorers.
    """

    settings: Mapping[str, ScorerSettings]

    def own(self, region: str) -> list[Applied]:
        """What each shard of a region's own store has applied.

        Raises:
            redis.RedisError: one is away, or cold.
        """
        found = []
        for number, shard in enumerate(self.settings[region].store_shards()):
            applied = applied_of(shard, self.settings[region].datastore_password())
            if applied is None:
                raise redis.RedisError(f"shard {number} of {region} is cold")
            found.append(applied)
        return found

    def behind(self, region: str) -> dict[str, str]:
        """Who does not have yet what a region's own store has, and why; nobody is best.

        Raises:
            redis.RedisError: the region's own store is away or cold.
        """
        own = self.own(region)
        late = {}
        for reader, settings in self.settings.items():
            read = {one.region: one.shards for one in settings.source_addresses()}
            for shard, wanted in zip(read.get(region, ()), own, strict=False):
                try:
                    why = behind(applied_of(shard, settings.datastore_password()), wanted)
                except redis.RedisError as error:
                    why = f"does not answer ({error})"
                if why is not None:
                    late[reader] = why
        return late


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningWorld:
    """What `up` started.

    Attributes:
        home: folder of all state.
        api: ports of the regions' APIs, in the order of the plan.
        operations: ports of the regions' operations listeners.
        stores: of the regions.
    """

    home: Path
    api: Mapping[str, int]
    operations: Mapping[str, int]
    stores: Stores


def running_world(home: Path) -> RunningWorld:
    """The world of a home, from its plan.

    Raises:
        OperatorError: nothing was ever started there.
    """
    path = Home(home).plan
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        raise OperatorError(f"nothing was started in {home}; 'stepdown up' does that.") from None
    by_name = {spec.name: spec for spec in plan.processes}
    scorers = {
        name.partition("/")[0]: spec for name, spec in by_name.items() if name.endswith("/scorer")
    }
    return RunningWorld(
        home=home,
        api={region: spec.port or 0 for region, spec in scorers.items()},
        operations={region: by_name[f"{region}/operations"].port or 0 for region in scorers},
        stores=Stores(settings={name: load(spec.environment) for name, spec in scorers.items()}),
    )
