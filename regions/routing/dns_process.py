"""One region's DNS server and health checkers, as a process: `python -m ...dns_process`.

Each region has one. It checks all regions by itself and shares nothing with the others, so that
any of them answers when the rest is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from regions.routing.dns_answers import Place, Resolver, subnet_of
from regions.routing.dns_server import serving
from regions.routing.health import CheckRule, RegionChecks
from regions.routing.interface import nearest
from regions.routing.names import LOCAL_DOMAIN, Names
from regions.routing.probing import Prober
from regions.topology import Topology, load_topology

__all__ = ["main", "resolver_of"]

_LOOPBACK = "127.0.0.1"


def resolver_of(
    topology: Topology,
    checks: dict[str, RegionChecks],
    *,
    places: dict[str, Place],
    asked_at: str,
    domain: str = LOCAL_DOMAIN,
) -> Resolver:
    """Answers queries from the checks as they stand when asked.

    Args:
        topology: names and latencies.
        checks: of the regions that run.
        places: of the same regions.
        asked_at: the region near which askers are that do not say otherwise.
        domain: of the names.
    """

    def choose(near: str) -> str:
        healthy = {region: own.healthy for region, own in checks.items()}
        return nearest(near, healthy, topology.round_trip_ms)

    def said(region: str) -> str:
        own = checks[region]
        words = (
            f"endpoint={'up' if own.endpoint.healthy else 'down'}",
            f"switch={'in' if own.switch.healthy else 'out'}",
            f"record={'healthy' if own.healthy else 'unhealthy'}",
        )
        return " ".join(words)

    return Resolver(
        names=Names(topology, domain),
        places=places,
        near={name: subnet_of(region.number) for name, region in topology.regions.items()},
        asked_at=asked_at,
        choose=choose,
        said=said,
    )


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    given = _parser().parse_args(arguments)
    topology = load_topology()
    regions: list[str] = given.regions.split(",")
    rule = CheckRule(interval_s=given.interval)
    checks = {region: RegionChecks.under(rule) for region in regions}
    places = {
        region: Place(address=given.host, port=topology.ports(region, given.port_base).api)
        for region in regions
    }
    resolver = resolver_of(topology, checks, places=places, asked_at=given.region)
    prober = Prober(home=given.home, places=places, checks=checks)
    port = topology.ports(given.region, given.port_base).dns
    asyncio.run(_serve(port, resolver, prober))


async def _serve(port: int, resolver: Resolver, prober: Prober) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with serving(_LOOPBACK, port, resolver.answer):
        probing = asyncio.create_task(prober.run())
        waiting = asyncio.create_task(stopping.wait())
        # Whichever ends first: probing ends by an error alone, and the supervisor starts it anew.
        await asyncio.wait({probing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if probing.done():
            probing.result()
        probing.cancel()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of all state")
    parser.add_argument("--region", required=True, help="whose server this is")
    parser.add_argument("--regions", required=True, help="that run, separated by commas")
    parser.add_argument("--port-base", type=int, required=True, help="first port of region 0")
    parser.add_argument("--host", default=_LOOPBACK, help="where the regions' APIs listen")
    parser.add_argument(
        "--interval", type=float, default=CheckRule().interval_s, help="seconds between probes"
    )
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    main()
