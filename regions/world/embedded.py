"""The plan of an embedded region: servers, shipper, applier, explainer, operations, scorer."""

from __future__ import annotations

import sys
from pathlib import Path

from app.datastore_binary import datastore_binary
from regions.topology import Topology
from regions.world.home import Home, write_private
from regions.world.plan import AliveFor, AnswersHttp, AnswersPing, Plan, ProcessSpec
from regions.world.settings import WorldSettings

__all__ = ["embedded_plan"]

# A replica that waits for others before it syncs comes up in five seconds instead of one, hence
# the delay of 0.
DATASTORE_SETTINGS = "repl-diskless-sync-delay 0"
# Bounds what retention by number of runs does not; the shipper trims when it is reached.
STREAM_SETTINGS = "maxmemory 256mb"

# Datastores and operations hold what only this machine may reach, whatever the API's host is.
_LOOPBACK = "127.0.0.1"


def embedded_plan(settings: WorldSettings, topology: Topology) -> Plan:
    """The plan of all regions; writes the datastores' password and configuration.

    Raises:
        OperatorError: there is no datastore to run.
        TopologyError: a region is not in the topology, or its ports do not fit.
    """
    binary = datastore_binary()
    password_file = Home(settings.home).ensure_datastore_password()
    return Plan(
        processes=tuple(
            spec
            for region in settings.regions
            for spec in _region_processes(region, settings, topology, binary, password_file)
        )
    )


def _region_processes(
    region: str, settings: WorldSettings, topology: Topology, binary: Path, password_file: Path
) -> list[ProcessSpec]:
    home = Home(settings.home)
    ports = topology.ports(region, settings.port_base)
    environment = _environment(region, settings, topology, password_file)

    def python(
        part: str, *arguments: str, ready: AliveFor | AnswersHttp, stop_timeout_s: float
    ) -> ProcessSpec:
        return ProcessSpec(
            name=f"{region}/{part}",
            region=region,
            command=(sys.executable, *arguments),
            environment=environment,
            log=str(home.log(region, part)),
            ready=ready,
            host=settings.host if part == "scorer" else _LOOPBACK,
            port=ready.port if isinstance(ready, AnswersHttp) else None,
            stop_timeout_s=stop_timeout_s,
        )

    operations = AnswersHttp(host=_LOOPBACK, port=ports.operations, path="/livez")
    api = AnswersHttp(host=settings.connect_host, port=ports.api, path="/livez")
    return [
        *(
            _server(
                region, "datastore" if shard == 0 else f"datastore-{shard}",
                ports.datastore(shard), binary,
                home=home, password_file=password_file, settings=DATASTORE_SETTINGS,
            )
            for shard in range(topology.region(region).shards)
        ),
        _server(
            region, "stream", ports.stream, binary,
            home=home, password_file=password_file, settings=STREAM_SETTINGS,
        ),
        python(
            "shipper", "-m", "app.record.shipper",
            ready=AliveFor(seconds=0.5), stop_timeout_s=2.5,
        ),
        python(
            "applier", "-m", "app.features.applier_process",
            ready=AliveFor(seconds=0.5), stop_timeout_s=1.5,
        ),
        python(
            "joiner", "-m", "app.record.joiner_process",
            ready=AliveFor(seconds=0.5), stop_timeout_s=1.5,
        ),
        python(
            "historian", "-m", "app.history.historian_process", "--rows", "10000", "--linger", "5",
            ready=AliveFor(seconds=0.5), stop_timeout_s=2.5,
        ),
        python(
            "explainer", "-m", "app.record.explainer",
            ready=AliveFor(seconds=0.5), stop_timeout_s=1.0,
        ),
        python("operations", "-m", "app.operations", ready=operations, stop_timeout_s=1.0),
        python(
            "scorer", "-m", "gunicorn", "-c", "python:app.gunicorn_conf", "app.main:app",
            ready=api, stop_timeout_s=5.0,
        ),
    ]  # fmt: skip


def _environment(
    region: str, settings: WorldSettings, topology: Topology, password_file: Path
) -> dict[str, str]:
    ports = topology.ports(region, settings.port_base)
    sources = [name for name in topology.region(region).sources if name in settings.regions]
    return {
        "PYTHONUNBUFFERED": "1",  # a log that ends before the crash explains nothing
        "STEPDOWN_HOME": str(settings.home),
        "STEPDOWN_REGION": region,
        "STEPDOWN_PROFILE": "development",
        "STEPDOWN_FEATURES": settings.features,
        "STEPDOWN_API_HOST": settings.host,
        "STEPDOWN_API_PORT": str(ports.api),
        "STEPDOWN_OPERATIONS_PORT": str(ports.operations),
        "STEPDOWN_WORKERS": str(settings.workers),
        "STEPDOWN_FLEET_HOSTS": str(len(settings.regions)),  # each region counts as a host
        "STEPDOWN_ENDPOINTS": ",".join(
            f"{name}={_api(name, settings, topology)}" for name in settings.regions
        ),
        "STEPDOWN_SOURCES": ",".join(
            f"{name}={_store(name, settings, topology)}" for name in sources
        ),
        "STEPDOWN_STORE": _store(region, settings, topology),
        "STEPDOWN_STREAM": f"{_LOOPBACK}:{ports.stream}",
        "STEPDOWN_DATASTORE_PASSWORD_FILE": str(password_file),
    }


def _api(region: str, settings: WorldSettings, topology: Topology) -> str:
    """Where clients on this machine reach a region."""
    host = settings.connect_host
    bracketed = f"[{host}]" if ":" in host else host
    return f"http://{bracketed}:{topology.ports(region, settings.port_base).api}"


def _store(region: str, settings: WorldSettings, topology: Topology) -> str:
    """The primaries of a region's store, one a shard, as the scorer's settings write them."""
    ports = topology.ports(region, settings.port_base)
    shards = range(topology.region(region).shards)
    return "|".join(f"{_LOOPBACK}:{ports.datastore(shard)}" for shard in shards)


def _server(
    region: str,
    part: str,
    port: int,
    binary: Path,
    *,
    home: Home,
    password_file: Path,
    settings: str,
) -> ProcessSpec:
    folder = home.region(region) / part
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = folder / "valkey.conf"
    password = password_file.read_text("utf-8").strip()
    write_private(configuration, _server_configuration(folder, port, password, settings).encode())
    return ProcessSpec(
        name=f"{region}/{part}",
        region=region,
        command=(str(binary), str(configuration)),
        environment={},
        log=str(home.log(region, part)),
        ready=AnswersPing(host=_LOOPBACK, port=port, password_file=str(password_file)),
        port=port,
        stop_timeout_s=1.5,
    )


def _server_configuration(folder: Path, port: int, password: str, settings: str) -> str:
    """The server's configuration file.

    Neither counters nor events must ever be evicted, hence the policy; the append-only file is
    the persistence, so that there are no snapshots beside it.
    """
    return f"""\
bind {_LOOPBACK}
port {port}
requirepass {password}
masterauth {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
{settings}
"""
