"""The checkers: each asks every region again and again, and tells the region's checks.

As Route 53 does it, a probe has 4 s to connect and 2 s more to be answered, and any 2xx or 3xx
passes. What is asked is the API's `/readyz`, which answers while any rung can be served: a dead
datastore takes no region out. The switch is looked at by the same checkers at the same pace, so
that turning it takes as long to be believed as it does on AWS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from regions.routing.dns_answers import Place
from regions.routing.health import RegionChecks
from regions.routing.switches import is_out

__all__ = ["ENDPOINT_PATH", "Prober", "passes"]

ENDPOINT_PATH = "/readyz"
CONNECT_S_MAX = 4.0
ANSWER_S_MAX = 2.0

log = logging.getLogger(__name__)


async def passes(place: Place, path: str = ENDPOINT_PATH) -> bool:
    """Whether one HTTP probe of a place passes."""
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            reader, writer = await asyncio.open_connection(place.address, place.port)
    except OSError:  # a TimeoutError is one
        return False
    try:
        asked = f"GET {path} HTTP/1.1\r\nHost: {place.address}\r\nConnection: close\r\n\r\n"
        writer.write(asked.encode("ascii"))
        async with asyncio.timeout(ANSWER_S_MAX):
            line = await reader.readline()
    except (OSError, ValueError):  # a ValueError is a line that does not end
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    words = line.split(maxsplit=2)
    return len(words) > 1 and line.startswith(b"HTTP/") and words[1][:1] in {b"2", b"3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Keeps the checks of all regions told.

    Attributes:
        home: folder where the switches are.
        places: of the regions' APIs.
        checks: by region; all under one rule.
        probe: asks one place once.
    """

    home: Path
    places: Mapping[str, Place]
    checks: Mapping[str, RegionChecks]
    probe: Callable[[Place], Awaitable[bool]] = passes

    async def run(self) -> None:
        """Probe for the life of the process, the checkers spread over the interval."""
        async with asyncio.TaskGroup() as group:
            for region in self.places:
                for checker in range(self.checks[region].endpoint.rule.checkers):
                    group.create_task(self._keep_looking(region, checker))

    async def round(self, region: str, checker: int) -> None:
        """One checker looks at one region once."""
        checks = self.checks[region]
        before = checks.healthy
        checks.switch.tell(checker, is_out(self.home, region))
        checks.endpoint.tell(checker, await self.probe(self.places[region]))
        if checks.healthy != before:
            log.warning("%s is %s", region, "healthy again" if checks.healthy else "unhealthy")

    async def _keep_looking(self, region: str, checker: int) -> None:
        rule = self.checks[region].endpoint.rule
        loop = asyncio.get_running_loop()
        next_s = loop.time() + rule.interval_s * checker / rule.checkers
        while True:
            await asyncio.sleep(max(next_s - loop.time(), 0))
            await self.round(region, checker)
            next_s += rule.interval_s
