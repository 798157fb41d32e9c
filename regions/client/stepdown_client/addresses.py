"""Names to addresses, without trusting DNS to be there, to be quick or to be right.

first look-up              waited for
later ones                 the last addresses, at once; asked again in the background
DNS fails, or is empty     the last ones stay (RFC 8767, serving stale data, without an end)
DNS lies                   what answers there signs nothing that verifies: the addresses that
                           gave a verified answer before are pinned for `HOLD_S`
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult

from stepdown_client.clock import Clock

__all__ = ["Lookup", "PinnedResolver", "system_lookup"]

Lookup = Callable[[str, int], Awaitable[list[str]]]

HOLD_S = 300.0
LOOKUP_S = 5.0


async def system_lookup(host: str, port: int) -> list[str]:
    """Addresses of a host, as the system resolves it.

    Raises:
        OSError: it does not.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(slots=True)
class _Known:
    """What is known of a host: what DNS said last, and what gave a verified answer."""

    addresses: list[str]
    good: list[str] = field(default_factory=list)
    asked_s: float = 0.0
    held_until_s: float = 0.0
    asking: asyncio.Task[None] | None = None


class PinnedResolver(AbstractResolver):
    """aiohttp's resolver for the endpoints of one client."""

    def __init__(self, lookup: Lookup, *, every_s: float, clock: Clock) -> None:
        """Know nothing yet.

        Args:
            lookup: asks DNS.
            every_s: how old what it said may be before it is asked again.
            clock: monotonic.
        """
        self._lookup = lookup
        self._every_s = every_s
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses to connect to.

        Raises:
            OSError: the host was never found.
        """
        known = self._known.get(host)
        if known is None:
            addresses = await asyncio.wait_for(self._lookup(host, port), LOOKUP_S)
            if not addresses:
                raise OSError(f"{host} has no address")
            known = self._known.setdefault(host, _Known(addresses))
            known.asked_s = self._clock.monotonic()
        elif self._due(known):
            known.asked_s = self._clock.monotonic()
            known.asking = asyncio.create_task(self._ask(host, port, known))
        return [_result(host, address, port) for address in known.addresses if _of(address, family)]

    def confirm(self, host: str) -> None:
        """What a host's addresses lead to gave a verified answer."""
        known = self._known.get(host)
        if known is not None and self._clock.monotonic() >= known.held_until_s:
            known.good = known.addresses

    def distrust(self, host: str) -> bool:
        """What they lead to is not a region. Returns whether there are others to go back to."""
        known = self._known.get(host)
        if known is None or not known.good or known.good == known.addresses:
            return False
        known.addresses = known.good
        known.held_until_s = self._clock.monotonic() + HOLD_S
        return True

    async def close(self) -> None:
        """Give up what is being asked."""
        for known in self._known.values():
            if known.asking is not None:
                known.asking.cancel()

    def _due(self, known: _Known) -> bool:
        now_s = self._clock.monotonic()
        under_way = known.asking is not None and not known.asking.done()
        return (
            not under_way and now_s >= known.held_until_s and now_s - known.asked_s >= self._every_s
        )

    async def _ask(self, host: str, port: int, known: _Known) -> None:
        try:
            addresses = await asyncio.wait_for(self._lookup(host, port), LOOKUP_S)
        except (OSError, TimeoutError):
            return  # the last ones stay
        if addresses and self._clock.monotonic() >= known.held_until_s:
            known.addresses = addresses


def _of(address: str, family: socket.AddressFamily) -> bool:
    return family in {socket.AF_UNSPEC, _family(address)}


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=_family(address),
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )
