"""The network between the regions of one machine: links, and the proxies that make them slow.

Copies of counters travel from primary to replica, and checkouts call regions that are far away.
Both go through Toxiproxy with half the topology's round trip in each direction, where Toxiproxy is
installed; else they are direct, and `up` and `status` say so. Connections themselves are made at
once: Toxiproxy delays what is sent, not the handshake.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from regions.topology import Topology
from regions.world.plan import Link, Plan
from regions.world.settings import WorldSettings

__all__ = ["TOOLS", "direct_because", "links_of", "replication_link", "toxiproxy_binary"]

TOOLS = Path(".stepdown-tools")
_DIRECT = "the links between the regions are direct and have no latency"
_PROGRAM = "toxiproxy-server"


def toxiproxy_binary() -> Path | None:
    """Toxiproxy's server: on the path, beside this Python, or where `make toxiproxy` puts it."""
    near = (Path(sys.executable).parent / _PROGRAM, TOOLS.absolute() / _PROGRAM)
    on_path = shutil.which(_PROGRAM)
    candidates = (*((Path(on_path),) if on_path else ()), *near)
    return next((path for path in candidates if path.is_file()), None)


def links_of(settings: WorldSettings, topology: Topology) -> tuple[Link, ...]:
    """Every link between the regions that run, and within them where the settings ask for it.

    Raises:
        TopologyError: a region is not in the topology, or its ports do not fit.
    """
    between = (*_replication(settings, topology), *_callers(settings, topology))
    return (*between, *_edges(settings, topology)) if settings.proxied == "all" else between


def replication_link(links: tuple[Link, ...], near: str, far: str, shard: int) -> Link:
    """The link over which a region copies a shard of another one."""
    return next(link for link in links if link.name == f"replication:{near}:{far}:{shard}")


def _replication(settings: WorldSettings, topology: Topology) -> Iterator[Link]:
    base = settings.port_base
    for near in settings.regions:
        for far in topology.region(near).sources:
            if far == near or far not in settings.regions:
                continue
            for shard in range(topology.region(far).shards):
                yield Link(
                    name=f"replication:{near}:{far}:{shard}",
                    carries="replication",
                    near=near,
                    far=far,
                    listen=topology.replication_port(near, far, shard, base),
                    upstream=topology.ports(far, base).datastore(shard),
                    latency_ms=topology.round_trip_ms(near, far) / 2,
                )


def _callers(settings: WorldSettings, topology: Topology) -> Iterator[Link]:
    base = settings.port_base
    for far in settings.regions:
        for near in settings.regions:
            if near != far:
                yield Link(
                    name=f"api:{near}:{far}",
                    carries="api",
                    near=near,
                    far=far,
                    listen=topology.api_port(far, near, base),
                    upstream=topology.ports(far, base).api,
                    latency_ms=topology.round_trip_ms(near, far) / 2,
                )


def _edges(settings: WorldSettings, topology: Topology) -> Iterator[Link]:
    """What each region asks its own datastores: primaries, stream, copies of the others."""
    for region in settings.regions:
        ports = topology.ports(region, settings.port_base)
        others = [one for one in topology.region(region).sources if one != region]
        asked = {
            f"{region}:{shard}": ports.datastore(shard)
            for shard in range(topology.region(region).shards)
        }
        asked["stream"] = ports.stream
        for number, far in enumerate(one for one in others if one in settings.regions):
            for shard in range(topology.region(far).shards):
                asked[f"{far}:{shard}"] = ports.replica(number, shard)
        for what, port in asked.items():
            yield Link(
                name=f"store:{region}:{what}",
                carries="store",
                near=region,
                far=region,
                listen=ports.edge(port - ports.datastore(0)),
                upstream=port,
                latency_ms=0.0,
            )


def direct_because(plan: Plan, *, installed: bool, wanted: bool) -> str | None:
    """Why the links of a plan have no latency, in one sentence; None where they have.

    Args:
        plan: of the world.
        installed: whether there is a Toxiproxy now.
        wanted: whether the settings ask for proxies.
    """
    if not plan.links or plan.network_port is not None:
        return None
    if not wanted:
        return f"{_DIRECT}, as the setting 'network' says."
    if not installed:
        return f"{_DIRECT}, since Toxiproxy is not installed; 'make toxiproxy' gets it."
    return f"{_DIRECT}; 'stepdown down' and 'stepdown up' put Toxiproxy in between."
