"""The plan of embedded regions: servers, programs, DNS, and the network between them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from regions.topology import Topology
from regions.world.home import Home, write_private
from regions.world.network import links_of, replication_link, toxiproxy_binary
from regions.world.plan import NETWORK, AliveFor, AnswersHttp, Link, Plan, ProcessSpec
from regions.world.precedence import AHEAD, BEHIND, EVEN
from regions.world.servers import PRIMARY, STREAM, Servers, replica_of
from regions.world.settings import WorldSettings

__all__ = ["embedded_plan"]

# Datastores and operations hold what only this machine may reach, whatever the API's host is.
_LOOPBACK = "127.0.0.1"
# Of our own programs; all others follow what these have answered.
_NICENESS = {"scorer": AHEAD, "dns": EVEN, "operations": EVEN}


def embedded_plan(settings: WorldSettings, topology: Topology) -> Plan:
    """The plan of all regions; writes the datastores' password and configuration.

    Raises:
        OperatorError: there is no datastore to run.
        TopologyError: a region is not in the topology, or its ports do not fit.
    """
    servers = Servers.of(Home(settings.home))
    links = links_of(settings, topology)
    toxiproxy = toxiproxy_binary() if links and settings.network == "proxies" else None
    port = None if toxiproxy is None else topology.network_port(settings.port_base)
    network = [] if toxiproxy is None or port is None else [_network(settings, toxiproxy, port)]
    return Plan(
        processes=(
            *network,
            *(
                spec
                for region in settings.regions
                for spec in _Region(
                    region, settings, topology, servers, links if network else ()
                ).processes(links, proxied=bool(network))
            ),
        ),
        links=links,
        network_port=port,
    )


def _network(settings: WorldSettings, toxiproxy: Path, port: int) -> ProcessSpec:
    return ProcessSpec(
        name=NETWORK,
        region="",
        command=(str(toxiproxy), "-host", _LOOPBACK, "-port", str(port)),
        environment={"LOG_LEVEL": "warn"},  # each connection is a line of `info`
        log=str(settings.home / f"{NETWORK.partition('/')[2]}.log"),
        ready=AnswersHttp(host=_LOOPBACK, port=port, path="/version"),
        port=port,
        stop_timeout_s=1.0,
    )


class _Region:
    """What one region consists of."""

    def __init__(
        self,
        name: str,
        settings: WorldSettings,
        topology: Topology,
        servers: Servers,
        proxies: tuple[Link, ...],
    ) -> None:
        self._name = name
        self._settings = settings
        self._topology = topology
        self._servers = servers
        self._ports = topology.ports(name, settings.port_base)
        self._before = {
            link.upstream: link.listen
            for link in proxies
            if link.carries == "store" and link.near == name
        }

    def processes(self, links: tuple[Link, ...], *, proxied: bool) -> list[ProcessSpec]:
        """All of them, in the order in which they start; writes where its counters are read."""
        sources = Home(self._settings.home).region(self._name) / "sources"
        write_private(sources, self._joined_sources().encode("ascii"))
        return [*self._stores(), *self._replicas(links, proxied=proxied), *self._programs()]

    def _stores(self) -> Iterator[ProcessSpec]:
        for shard in range(self._topology.region(self._name).shards):
            part = _part("datastore", shard)
            yield self._servers.plan(self._name, part, self._ports.datastore(shard), PRIMARY)
        yield self._servers.plan(self._name, "stream", self._ports.stream, STREAM)

    def _replicas(self, links: tuple[Link, ...], *, proxied: bool) -> Iterator[ProcessSpec]:
        for number, far in enumerate(self._others()):
            for shard in range(self._topology.region(far).shards):
                link = replication_link(links, self._name, far, shard)
                yield self._servers.plan(
                    self._name,
                    _part(f"replica-{far}", shard),
                    self._ports.replica(number, shard),
                    replica_of(link.listen if proxied else link.upstream),
                    stop_timeout_s=0.5,  # what it has, its primary has
                )

    def _others(self) -> list[str]:
        """The other regions that it reads."""
        sources = self._topology.region(self._name).sources
        return [one for one in sources if one != self._name and one in self._settings.regions]

    def _programs(self) -> list[ProcessSpec]:
        operations = AnswersHttp(host=_LOOPBACK, port=self._ports.operations, path="/livez")
        api = AnswersHttp(host=self._settings.connect_host, port=self._ports.api, path="/livez")
        alive = AliveFor(seconds=0.5)
        history = ("app.history.historian_process", "--rows", "10000", "--linger", "5")
        gunicorn = ("gunicorn", "-c", "python:app.gunicorn_conf", "app.main:app")
        return [
            self._python("shipper", "app.record.shipper", ready=alive, stop_timeout_s=2.5),
            self._python(
                "applier", "app.features.applier_process", ready=alive, stop_timeout_s=1.5
            ),
            self._python("joiner", "app.record.joiner_process", ready=alive, stop_timeout_s=1.5),
            self._python("historian", *history, ready=alive, stop_timeout_s=2.5),
            self._python("explainer", "app.record.explainer", ready=alive, stop_timeout_s=1.0),
            self._python(
                "dns",
                *self._dns(),
                ready=alive,
                stop_timeout_s=0.5,
                port=self._ports.dns,
            ),
            self._python("operations", "app.operations", ready=operations, stop_timeout_s=1.0),
            self._python("scorer", *gunicorn, ready=api, stop_timeout_s=5.0),
        ]

    def _dns(self) -> tuple[str, ...]:
        settings = self._settings
        return (
            *("regions.routing.dns_process", "--home", str(settings.home)),
            *("--region", self._name, "--regions", ",".join(settings.regions)),
            *("--port-base", str(settings.port_base), "--host", settings.connect_host),
        )

    def _python(
        self,
        part: str,
        *arguments: str,
        ready: AliveFor | AnswersHttp,
        stop_timeout_s: float,
        port: int | None = None,
    ) -> ProcessSpec:
        return ProcessSpec(
            name=f"{self._name}/{part}",
            region=self._name,
            command=(sys.executable, "-m", *arguments),
            environment=self._environment(),
            log=str(Home(self._settings.home).log(self._name, part)),
            ready=ready,
            host=self._settings.host if part == "scorer" else _LOOPBACK,
            port=ready.port if isinstance(ready, AnswersHttp) else port,
            stop_timeout_s=stop_timeout_s,
            niceness=_NICENESS.get(part, BEHIND),
        )

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        return {
            "PYTHONUNBUFFERED": "1",  # a log that ends before the crash explains nothing
            "STEPDOWN_HOME": str(settings.home),
            "STEPDOWN_REGION": self._name,
            "STEPDOWN_PROFILE": "development",
            "STEPDOWN_FEATURES": settings.features,
            "STEPDOWN_API_HOST": settings.host,
            "STEPDOWN_API_PORT": str(self._ports.api),
            "STEPDOWN_OPERATIONS_PORT": str(self._ports.operations),
            "STEPDOWN_WORKERS": str(settings.workers),
            "STEPDOWN_FLEET_HOSTS": str(len(settings.regions)),  # each region counts as a host
            "STEPDOWN_ENDPOINTS": ",".join(
                f"{name}={self._api(name)}" for name in settings.regions
            ),
            "STEPDOWN_SOURCES": self._joined_sources(),
            "STEPDOWN_STORE": self._sources()[self._name],
            "STEPDOWN_STREAM": self._addresses(iter((self._ports.stream,))),
            "STEPDOWN_DATASTORE_PASSWORD_FILE": str(self._servers.password_file),
        }

    def _api(self, region: str) -> str:
        """Where clients on this machine reach a region."""
        host = self._settings.connect_host
        bracketed = f"[{host}]" if ":" in host else host
        return f"http://{bracketed}:{self._topology.ports(region, self._settings.port_base).api}"

    def _joined_sources(self) -> str:
        return ",".join(f"{name}={stores}" for name, stores in self._sources().items())

    def _sources(self) -> dict[str, str]:
        """Its own primaries and its copies of the others, as the scorer's settings write them."""
        shards = range(self._topology.region(self._name).shards)
        sources = {self._name: self._addresses(self._ports.datastore(shard) for shard in shards)}
        for number, far in enumerate(self._others()):
            shards = range(self._topology.region(far).shards)
            sources[far] = self._addresses(self._ports.replica(number, shard) for shard in shards)
        return sources

    def _addresses(self, ports: Iterator[int]) -> str:
        """Where its programs find these ports: at the proxies before them, where there are."""
        return "|".join(f"{_LOOPBACK}:{self._before.get(port, port)}" for port in ports)


def _part(what: str, shard: int) -> str:
    return what if shard == 0 else f"{what}-{shard}"
