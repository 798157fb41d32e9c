"""What drills and measurements run against: the service on this machine, and a load on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import redis

from app.errors import OperatorError
from app.registry import Registry
from app.samples import load_samples
from app.settings import load
from chaos.load import Load
from chaos.spread import Place
from regions.world.control import World
from regions.world.errors import SettingsError, WorldError
from regions.world.home import Home
from regions.world.plan import Plan
from regions.world.settings import WorldSettings, load_settings

__all__ = ["Target", "settings_of", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a drill runs against."""

    world: World
    load: Load
    region: str
    folder: Path

    def plan(self) -> Plan:
        """What was started."""
        return msgspec.json.decode(Home(self.folder.parent).plan.read_bytes(), type=Plan)

    def places(self) -> list[Place]:
        """Every region that runs."""
        return [
            Place(
                region=spec.region,
                api=f"http://127.0.0.1:{spec.port}",
                settings=load(spec.environment),
            )
            for spec in self.plan().processes
            if spec.name == f"{spec.region}/scorer"
        ]

    def stores(self) -> list[str]:
        """The processes of everything that the region's counters are read from."""
        parts = (f"{self.region}/datastore", f"{self.region}/replica-")
        return [one.name for one in self.world.status().processes if one.name.startswith(parts)]

    def store(self) -> redis.Redis:
        """A client of the region's datastore."""
        home = self.folder.parent
        return redis.Redis(
            port=self.world.status().port(f"{self.region}/datastore") or 0,
            password=(home / "secrets" / "datastore").read_text().strip(),
            protocol=2,
            socket_timeout=2.0,
        )


def target_of(home: Path, rate: float, *, keep_alive: bool = True) -> Target:
    """The service that 'stepdown up' started, and a load on it.

    Args:
        home: folder of its state.
        rate: attempts a second.
        keep_alive: whether connections are used again.

    Raises:
        OperatorError: it does not run.
    """
    try:
        world = World.connect(home)
        status = world.status()
    except WorldError as error:
        raise OperatorError(f"{error}; 'stepdown up' starts it.") from None
    region = status.regions[0]
    load = Load(
        f"http://127.0.0.1:{status.port(f'{region}/scorer')}",
        key=os.environ.get("STEPDOWN_API_KEY") or Registry(home).dev_key.read_text().strip(),
        bodies=[sample.body for sample in load_samples(home)],
        rate=rate,
        keep_alive=keep_alive,
    )
    return Target(world, load, region, home / region)


def settings_of(home: Path) -> WorldSettings:
    """The settings of the local world, for a region of one's own beside it.

    Raises:
        OperatorError: a setting cannot be used.
    """
    try:
        return load_settings(environ=os.environ, folder=Path.cwd(), home=home)
    except SettingsError as error:
        raise OperatorError(f"{error}.") from None
