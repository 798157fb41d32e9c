"""The topology: which regions there are, what each reads, and how far apart they are.

One file, `regions/topology.yaml`, is the source for the service and for Terraform.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

__all__ = [
    "PORTS_PER_REGION",
    "SHARDS_MAX",
    "TOPOLOGY_FILE",
    "Link",
    "Ports",
    "Region",
    "Topology",
    "TopologyError",
    "load_topology",
]

TOPOLOGY_FILE = Path(__file__).with_name("topology.yaml")
PORTS_PER_REGION = 100
SHARDS_MAX = 3
_NETWORK_PORT = 40
_FIRST_CALLER = 6
_LAST_PORT = 65_535
_PLACEHOLDERS = ("{region}", "{domain}")

RegionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
RegionNumber = Annotated[int, msgspec.Meta(ge=0, le=255)]


class TopologyError(ValueError):
    """The topology file cannot be used; the message says why in one sentence."""


class Region(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One region.

    Attributes:
        number: 0 to 255, part of every decision id, never reused.
        shards: replication groups of the region's own store; 1 to 3, since a region reads each
            shard of each source with one command.
        sources: the regions whose datastores it reads, its own first.
    """

    number: RegionNumber
    shards: Annotated[int, msgspec.Meta(ge=1, le=3)]
    sources: Annotated[tuple[RegionName, ...], msgspec.Meta(min_length=1, max_length=3)]


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network between two regions.

    Attributes:
        between: the two regions, in any order.
        round_trip_ms: there and back, milliseconds.
    """

    between: tuple[RegionName, RegionName]
    round_trip_ms: Annotated[float, msgspec.Meta(gt=0, le=1_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one region on one machine: a hundred from `first` on."""

    first: int

    @property
    def api(self) -> int:
        """Payment attempts come in here."""
        return self.first

    @property
    def operations(self) -> int:
        """Liveness, readiness, metrics and the operations page."""
        return self.first + 1

    def datastore(self, shard: int) -> int:
        """The primary of one shard of the region's own store."""
        return self.first + 10 + shard

    @property
    def stream(self) -> int:
        """The server of the region's stream of events."""
        return self.first + 13

    def replica(self, number: int, shard: int) -> int:
        """The local copy of one shard of another region's store; `number` counts the others."""
        return self.first + 14 + SHARDS_MAX * number + shard

    def proxy(self, number: int) -> int:
        """Where a link from another region ends: 0 to 5 replication, 6 to 19 callers of the API."""
        return self.first + 20 + number

    def edge(self, number: int) -> int:
        """Where a proxy stands before a datastore: 0 to 9, as the datastores are numbered."""
        return self.first + 60 + number

    @property
    def dns(self) -> int:
        """The DNS server of the region, UDP and TCP."""
        return self.first + 53


class Topology(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All regions and what lies between them.

    Attributes:
        endpoint_host: host name of a region's endpoint, with `{region}` and `{domain}` in it.
        retired_numbers: numbers of regions that are no more; no region may take them.
        regions: by name.
        links: one for each pair of regions.
    """

    endpoint_host: str
    regions: dict[RegionName, Region]
    links: tuple[Link, ...]
    retired_numbers: tuple[RegionNumber, ...] = ()

    def region(self, name: str) -> Region:
        """One region by name.

        Raises:
            TopologyError: there is no such region.
        """
        try:
            return self.regions[name]
        except KeyError:
            known = ", ".join(self.regions)
            raise TopologyError(f"there is no region {name!r}; the topology has {known}") from None

    def endpoint(self, name: str, domain: str) -> str:
        """The host name that checkouts near region `name` call."""
        self.region(name)
        return self.endpoint_host.replace("{region}", name).replace("{domain}", domain)

    def round_trip_ms(self, one: str, other: str) -> float:
        """Round trip between two regions in milliseconds; 0 within a region.

        Raises:
            TopologyError: one of the two is not a region.
        """
        pair = {one, other}
        for name in pair:
            self.region(name)
        return next((link.round_trip_ms for link in self.links if set(link.between) == pair), 0.0)

    def ports(self, name: str, port_base: int) -> Ports:
        """The ports of region `name` when all regions run on one machine.

        Raises:
            TopologyError: there is no such region, or its ports would end past 65535.
        """
        first = port_base + PORTS_PER_REGION * self.region(name).number
        if first + PORTS_PER_REGION - 1 > _LAST_PORT:
            raise TopologyError(f"port base {port_base} is too high for the ports of {name}")
        return Ports(first=first)

    def replication_port(self, name: str, source: str, shard: int, port_base: int) -> int:
        """Where region `name` reaches the primary of a shard of `source` over the network.

        Raises:
            TopologyError: as `ports`.
        """
        others = [one for one in self.region(name).sources if one != name]
        return self.ports(name, port_base).proxy(SHARDS_MAX * others.index(source) + shard)

    def api_port(self, name: str, caller: str, port_base: int) -> int:
        """Where a checkout in region `caller` reaches the API of region `name` over the network.

        Raises:
            TopologyError: as `ports`.
        """
        self.region(caller)
        if caller == name:
            return self.ports(name, port_base).api
        callers = [one for one in self.regions if one != name]
        return self.ports(name, port_base).proxy(_FIRST_CALLER + callers.index(caller))

    def network_port(self, port_base: int) -> int:
        """Where the network between the regions of one machine is told what to do."""
        return port_base + _NETWORK_PORT


def load_topology(path: Path = TOPOLOGY_FILE) -> Topology:
    """Read and check a topology file.

    Raises:
        TopologyError: it cannot be read, or says something that cannot be.
    """
    try:
        topology = msgspec.yaml.decode(path.read_bytes(), type=Topology)
    except OSError as error:
        raise TopologyError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TopologyError(f"{path} is not a topology: {error}") from error
    problem = _problem(topology)
    if problem is not None:
        raise TopologyError(f"{path}: {problem}")
    return topology


def _problem(topology: Topology) -> str | None:
    """The first thing wrong between the parts of a topology, or None."""
    missing = [text for text in _PLACEHOLDERS if text not in topology.endpoint_host]
    if missing:
        return f"endpoint_host has no {missing[0]}"
    if not topology.regions:
        return "there is no region"
    return _number_problem(topology) or _source_problem(topology) or _link_problem(topology)


def _number_problem(topology: Topology) -> str | None:
    taken = dict.fromkeys(topology.retired_numbers, "a retired region")
    for name, region in topology.regions.items():
        if region.number in taken:
            return f"{name} has number {region.number}, which belongs to {taken[region.number]}"
        taken[region.number] = name
    return None


def _source_problem(topology: Topology) -> str | None:
    for name, region in topology.regions.items():
        if region.sources[0] != name:
            return f"{name} must list its own datastore as its first source"
        if len(set(region.sources)) != len(region.sources):
            return f"{name} lists a source twice"
        for source in region.sources:
            if source not in topology.regions:
                return f"{name} reads from {source}, which is not a region"
    return None


def _link_problem(topology: Topology) -> str | None:
    pairs = [frozenset(link.between) for link in topology.links]
    for pair in pairs:
        if len(pair) != 2 or not pair <= topology.regions.keys():
            return f"a link joins {' and '.join(sorted(pair))}, which are not two regions"
        if pairs.count(pair) > 1:
            return f"{' and '.join(sorted(pair))} have two links"
    names = sorted(topology.regions)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            if {one, other} not in pairs:
                return f"no link joins {one} and {other}"
    return None
