"""Names to addresses, without trusting DNS to be there, to be quick or to be right.

first look-up              waited for
later ones                 the last addresses, at once; asked again in the background
DNS fails, or is empty     the last ones stay (RFC 8767, serving stale data, without an end)
DNS lies                   what answers there signs nothing that verifies: that address is left
                           out for `HOLD_S`, and those that gave verified answers stay pinned
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stepdown_client.clock import Clock

__all__ = ["Lookup", "PinnedAddresses", "system_lookup"]

Lookup = Callable[[str, int], Awaitable[list[str]]]

HOLD_S = 300.0
LOOKUP_S = 5.0
GOOD_MAX = 8


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
    """What is known of a host.

    Attributes:
        addresses: as DNS said last.
        good: that gave a verified answer, the latest last.
        bad: that gave a forged one, and until when they are left out.
        asked_s: when DNS was asked last.
        asking: it now.
    """

    addresses: list[str]
    good: dict[str, None] = field(default_factory=dict)
    bad: dict[str, float] = field(default_factory=dict)
    asked_s: float = 0.0
    asking: asyncio.Task[None] | None = None

    def usable(self, now_s: float) -> list[str]:
        """What to connect to: as DNS says, then as it was good before; never nothing."""
        known = dict.fromkeys([*self.addresses, *reversed(self.good)])
        kept = [address for address in known if self.bad.get(address, now_s) <= now_s]
        return kept or list(known)


class PinnedAddresses:
    """The addresses of one client's endpoints."""

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
        self._asking: dict[str, asyncio.Task[list[str]]] = {}

    async def usable(self, host: str, port: int) -> list[str]:
        """Addresses to connect to, best first; one that is an address is its own.

        Raises:
            OSError: the host was never found.
        """
        known = self._known.get(host)
        if known is None:
            if _is_address(host):
                return [host]
            known = await self._first(host, port)
        elif self._due(known):
            known.asked_s = self._clock.monotonic()
            known.asking = asyncio.create_task(self._ask(host, port, known))
        return known.usable(self._clock.monotonic())

    def confirm(self, host: str, address: str) -> None:
        """An address of a host gave a verified answer."""
        known = self._known.get(host)
        if known is None:
            return
        known.bad.pop(address, None)
        known.good.pop(address, None)
        known.good[address] = None
        if len(known.good) > GOOD_MAX:
            del known.good[next(iter(known.good))]

    def distrust(self, host: str, address: str) -> None:
        """An address gave a forged answer, or takes no connection: others first for a while."""
        known = self._known.get(host)
        if known is not None:
            known.bad[address] = self._clock.monotonic() + HOLD_S

    def close(self) -> None:
        """Give up what is being asked."""
        for task in (*self._asking.values(), *(known.asking for known in self._known.values())):
            if task is not None:
                task.cancel()

    async def _first(self, host: str, port: int) -> _Known:
        """Look a host up for the first time, once for all who wait; who gives up ends nothing."""
        asking = self._asking.get(host)
        if asking is None or asking.done():
            asking = self._asking[host] = asyncio.create_task(self._look_up(host, port))
        addresses = await asyncio.shield(asking)
        if not addresses:
            raise OSError(f"{host} has no address")
        return self._known.setdefault(host, _Known(addresses, asked_s=self._clock.monotonic()))

    def _due(self, known: _Known) -> bool:
        under_way = known.asking is not None and not known.asking.done()
        return not under_way and self._clock.monotonic() - known.asked_s >= self._every_s

    async def _ask(self, host: str, port: int, known: _Known) -> None:
        addresses = await self._look_up(host, port)
        if addresses:  # otherwise the last ones stay
            known.addresses = addresses

    async def _look_up(self, host: str, port: int) -> list[str]:
        """What DNS says; nothing where it fails."""
        try:
            return await asyncio.wait_for(self._lookup(host, port), LOOKUP_S)
        except (OSError, TimeoutError):
            return []


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
