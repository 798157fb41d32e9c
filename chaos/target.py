"""What drills and measurements run against: the service on this machine, and a load on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import redis

from app.errors import OperatorError
from app.registry import Registry
from app.samples import load_samples
from chaos.load import Load
from regions.world.control import World
from regions.world.errors import SettingsError, WorldError
from regions.world.settings import WorldSettings, load_settings

__all__ = ["Target", "settings_of", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a drill runs against."""

    world: World
    load: Load
    region: str
    folder: Path

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
