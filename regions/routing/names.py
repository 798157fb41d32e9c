"""The names that the routing answers to.

decisions.<domain>             the nearest healthy region
<region>.decisions.<domain>    that region, whatever its health: for clients that choose
_stepdown._tcp.<either>        host and port of it (SRV): on one machine only ports differ
_health.<region>.decisions.<domain>   how the checkers see it (TXT)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from regions.topology import Topology

__all__ = ["LOCAL_DOMAIN", "Asked", "Kind", "Names"]

LOCAL_DOMAIN = "stepdown.test"  # RFC 6761: never in the public DNS
_SERVICE = "_stepdown._tcp."
_HEALTH = "_health."
_IN_BETWEEN = "_tcp."


class Kind(enum.Enum):
    """What is at a name."""

    ADDRESS = enum.auto()
    SERVICE = enum.auto()
    HEALTH = enum.auto()
    EMPTY = enum.auto()  # nothing, but there are names below it
    NOTHING = enum.auto()  # the name does not exist
    ELSEWHERE = enum.auto()  # the name is in nobody's zone here


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a name stands for; `region` is None for the nearest one."""

    kind: Kind
    region: str | None = None


class Names:
    """The names of one topology under one domain; lower case, without the dot at the end."""

    def __init__(self, topology: Topology, domain: str = LOCAL_DOMAIN) -> None:
        self._regions = {topology.endpoint(name, domain): name for name in topology.regions}
        labels = topology.endpoint_host.replace("{domain}", domain).split(".")
        #: Shared by all regions; the zone begins here, too.
        self.service = ".".join(label for label in labels if "{region}" not in label)

    def of(self, region: str) -> str:
        """The region's own name."""
        return next(name for name, own in self._regions.items() if own == region)

    def service_of(self, name: str) -> str:
        """The name of the SRV record of another name."""
        return _SERVICE + name

    def health_of(self, region: str) -> str:
        """The name that says how the checkers see a region."""
        return _HEALTH + self.of(region)

    def asked(self, name: str) -> Asked:
        """What a name stands for, in any case and with or without the dot."""
        name = name.rstrip(".").lower()
        for prefix, kind in (("", Kind.ADDRESS), (_SERVICE, Kind.SERVICE), (_HEALTH, Kind.HEALTH)):
            host = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if host in self._regions:
                return Asked(kind=kind, region=self._regions[host])
            if host == self.service and kind is not Kind.HEALTH:
                return Asked(kind=kind)
        if name.removeprefix(_IN_BETWEEN) in {self.service, *self._regions}:
            return Asked(kind=Kind.EMPTY)
        inside = name.endswith(f".{self.service}")
        return Asked(kind=Kind.NOTHING if inside else Kind.ELSEWHERE)
