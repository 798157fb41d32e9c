"""The router of one machine: switches are files, answers come from the regions' DNS servers."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dnslib import EDNS0, QTYPE, RCODE, RR, DNSRecord, EDNSOption

from regions.routing import switches
from regions.routing.dns_answers import CLIENT_SUBNET, subnet_of
from regions.routing.interface import Record, RegionHealth, RoutingUnavailable
from regions.routing.names import Kind, Names
from regions.topology import Topology

__all__ = ["LocalRouter", "ask"]

ANSWER_S_MAX = 1.0
_BYTES_MAX = 1_232
_LOOPBACK = "127.0.0.1"


def ask(port: int, query: DNSRecord, *, timeout_s: float = ANSWER_S_MAX) -> DNSRecord:
    """Ask a DNS server on this machine once, over UDP.

    Raises:
        RoutingUnavailable: it does not answer in time, or does not know.
    """
    query.header.id = secrets.randbelow(2**16)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(timeout_s)
            asking.connect((_LOOPBACK, port))
            asking.send(query.pack())
            reply = DNSRecord.parse(asking.recv(_BYTES_MAX))
    except OSError as error:
        raise RoutingUnavailable(f"no DNS server answers on port {port}") from error
    if reply.header.id != query.header.id or reply.header.rcode != RCODE.NOERROR:
        raise RoutingUnavailable(f"the DNS server on port {port} does not know {query.q.qname}")
    return reply


class LocalRouter:
    """Implements `Router` for regions on one machine."""

    def __init__(
        self,
        home: Path,
        topology: Topology,
        *,
        regions: Sequence[str],
        port_base: int,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make the router; nothing is asked before it is used.

        Args:
            home: folder of all state.
            topology: names, latencies, ports.
            regions: those that run.
            port_base: first port of the region with number 0.
            wall: the time, for the switches.
        """
        self._home = home
        self._topology = topology
        self._regions = tuple(regions)
        self._ports = {name: topology.ports(name, port_base).dns for name in regions}
        self._names = Names(topology)
        self._wall = wall

    def records(self) -> Sequence[Record]:
        """One a region that runs."""
        return [
            Record(name=self._names.service, region=name, target=self._names.of(name))
            for name in self._regions
        ]

    def health(self) -> Mapping[str, RegionHealth]:
        """As the first server that answers sees it."""
        return {region: self._health_of(region) for region in self._regions}

    def is_out(self, region: str) -> bool:
        """Whether the file of the region's switch is there."""
        return switches.is_out(self._home, region)

    def set_out(self, region: str) -> None:
        """Put the file of the region's switch there."""
        try:
            switches.set_out(self._home, region, now=self._wall())
        except OSError as error:
            raise RoutingUnavailable(f"the switch of {region} cannot be set: {error}") from error

    def set_in(self, region: str) -> None:
        """Take the file of the region's switch away."""
        try:
            switches.set_in(self._home, region)
        except OSError as error:
            raise RoutingUnavailable(f"the switch of {region} cannot be set: {error}") from error

    def answer_for(self, client_region: str) -> str:
        """What the client region's own server says; another server if that one is gone."""
        network = subnet_of(self._topology.region(client_region).number)
        client = f"{network.network_address}/{network.prefixlen}"
        first = [name for name in self._regions if name == client_region]
        rest = [name for name in self._regions if name != client_region]
        reply = self._ask_any([*first, *rest], _query(self._names.service, "A", client))
        for record in reply.rr:
            asked = self._names.asked(str(record.rname))
            if (
                record.rtype != QTYPE.CNAME
                and asked.kind is Kind.ADDRESS
                and asked.region is not None
            ):
                return asked.region
        raise RoutingUnavailable(f"{self._names.service} has no address")

    def _health_of(self, region: str) -> RegionHealth:
        reply = self._ask_any(self._regions, _query(self._names.health_of(region), "TXT"))
        words = b"".join(reply.rr[0].rdata.data).decode().split()
        said = dict(word.split("=", 1) for word in words)
        return RegionHealth(
            endpoint=said["endpoint"] == "up",
            switch=said["switch"] == "in",
            healthy=said["record"] == "healthy",
        )

    def _ask_any(self, regions: Sequence[str], query: DNSRecord) -> DNSRecord:
        for region in regions:
            try:
                return ask(self._ports[region], query)
            except RoutingUnavailable as error:
                unanswered = error
        raise unanswered


def _query(name: str, kind: str, client: str | None = None) -> DNSRecord:
    query = DNSRecord.question(name, kind)
    if client is not None:
        query.add_ar(_subnet(client))
    return query


def _subnet(client: str) -> RR:
    """The option that says near which network the asker is (RFC 7871)."""
    address, _, bits = client.partition("/")
    data = b"\0\x01" + bytes([int(bits), 0]) + socket.inet_aton(address)[: int(bits) // 8]
    return EDNS0(opts=[EDNSOption(CLIENT_SUBNET, data)])
