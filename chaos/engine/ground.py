"""What a drill stands on: the running service, as faults and loads reach it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.errors import OperatorError
from app.registry import Registry
from regions.world.control import World
from regions.world.errors import WorldError
from regions.world.home import Home
from regions.world.plan import Link, Plan
from regions.world.toxiproxy import Network

__all__ = ["Ground", "ground_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The running service.

    Attributes:
        home: folder of its state.
        world: its processes.
        plan: as it was started.
        region: that is drilled.
    """

    home: Path
    world: World
    plan: Plan
    region: str

    @property
    def regions(self) -> tuple[str, ...]:
        """All that run, in the order of the plan."""
        return tuple(dict.fromkeys(spec.region for spec in self.plan.processes if spec.region))

    @property
    def key(self) -> str:
        """API key of the load."""
        return Registry(self.home).dev_key.read_text("ascii").strip()

    @property
    def trusted_keys(self) -> Path:
        """Folder of the public keys that sign routing documents."""
        return self.home / self.region / "journal" / "keyring"

    def named(self, target: str) -> str:
        """A target of a drill, with the drilled region in it."""
        return target.replace("{region}", self.region)

    def processes(self, region: str) -> list[str]:
        """Every process of a region, in start order.

        Raises:
            OperatorError: no such region runs.
        """
        names = [spec.name for spec in self.plan.processes if spec.region == region]
        if not names:
            raise OperatorError(f"no region {region!r} runs.")
        return names

    def links(self, *, carries: str, far: str | None = None, near: str | None = None) -> list[Link]:
        """Links of one kind, to a region or from one."""
        return [
            link
            for link in self.plan.links
            if link.carries == carries and far in {None, link.far} and near in {None, link.near}
        ]

    def network(self) -> Network:
        """The proxies between the regions.

        Raises:
            OperatorError: there are none.
        """
        if self.plan.network_port is None:
            raise OperatorError(
                "the links between the regions are direct, and nothing can cut them; "
                "'make toxiproxy' gets what can."
            )
        return Network(self.plan.network_port)

    def endpoints(self, caller: str) -> dict[str, str]:
        """Where a client in a region reaches each region: its own first, the others far away."""
        found = {caller: self.api(caller)}
        for link in self.links(carries="api", near=caller):
            port = link.upstream if self.plan.network_port is None else link.listen
            found[link.far] = f"http://127.0.0.1:{port}"
        return found

    def api(self, region: str) -> str:
        """Where a region's API is on this machine."""
        spec = next(one for one in self.plan.processes if one.name == f"{region}/scorer")
        return f"http://{spec.host}:{spec.port}"


def ground_of(home: Path, region: str | None) -> Ground:
    """The service that 'stepdown up' started.

    Args:
        home: folder of its state.
        region: to drill; the first one where None.

    Raises:
        OperatorError: it does not run, or has no such region.
    """
    home = home.absolute()
    try:
        world = World.connect(home)
    except WorldError as error:
        raise OperatorError(f"{error}; 'stepdown up' starts it.") from None
    plan = msgspec.json.decode(Home(home).plan.read_bytes(), type=Plan)
    ground = Ground(home=home, world=world, plan=plan, region=region or "")
    if region is not None and region not in ground.regions:
        raise OperatorError(f"no region {region!r} runs; {', '.join(ground.regions)} do.")
    return ground if region else Ground(home=home, world=world, plan=plan, region=ground.regions[0])
