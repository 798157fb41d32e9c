"""Toxiproxy's API, by toxiproxy-python, without what that library leaves to luck.

It keeps host and port in one class for the whole process, waits for ever, takes a 500 for success
and cannot change a toxic. So each server gets a class of its own here, every call has its
time-out, what is not a success raises, and every write is read back.

    ToxiproxyError    it does not answer, refuses, or does not hold what it was told
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
import requests
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from regions.world.plan import Link

__all__ = ["Network", "Proxy", "Toxic", "ToxiproxyError", "put_links"]

TIMEOUT_S = 2.0
# What it took off a link it lets pass first, and a toxic may hold that for seconds.
TAKEN_OFF_S = 60.0

Direction = Literal["upstream", "downstream"]


class ToxiproxyError(Exception):
    """It does not answer, refuses, or does not hold what it was told; one sentence."""


class Toxic(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a proxy does to what passes.

    Attributes:
        name: unique for its proxy.
        type: `latency`, `bandwidth`, `timeout`, `slicer`, `limit_data`, `reset_peer`, `slow_close`.
        stream: `upstream` is from who connects to who is connected to.
        toxicity: share of the CONNECTIONS it applies to, drawn once each.
        attributes: of the type; times in ms (slicer: us), rates in KB/s.
    """

    name: str
    type: str
    stream: Direction = "downstream"
    toxicity: float = 1.0
    attributes: dict[str, int] = {}


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy as it stands.

    Attributes:
        name: unique.
        listen: `host:port`.
        upstream: `host:port`.
        enabled: false while it is down: connections are closed, and new ones refused.
        toxics: what it does.
    """

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    toxics: tuple[Toxic, ...] = ()


class Network:
    """The proxies of one Toxiproxy."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        """Make a client; it connects with each call.

        Args:
            port: of Toxiproxy's API.
            host: that it is on.
        """
        self._api: Any = type("_Consumer", (APIConsumer,), {"host": host, "port": port})

    def proxies(self) -> dict[str, Proxy]:
        """All proxies, by name."""
        return msgspec.convert(self._asked("get", "/proxies"), dict[str, Proxy])

    def proxy(self, name: str) -> Proxy:
        """One proxy."""
        return msgspec.convert(self._asked("get", f"/proxies/{name}"), Proxy)

    def put(self, proxy: Proxy) -> None:
        """Have exactly this proxy, whatever there was of its name."""
        if proxy.name in self.proxies():
            self._asked("delete", f"/proxies/{proxy.name}")
        told = {"name": proxy.name, "listen": proxy.listen, "upstream": proxy.upstream}
        self._asked("post", "/proxies", json={**told, "enabled": proxy.enabled})
        for toxic in proxy.toxics:
            self._asked("post", f"/proxies/{proxy.name}/toxics", json=msgspec.to_builtins(toxic))
        self._holds(proxy)

    def enable(self, name: str, enabled: bool = True) -> None:
        """Take a proxy up, or down."""
        before = self.proxy(name)
        self._asked("post", f"/proxies/{name}", json={"enabled": enabled})
        self._holds(msgspec.structs.replace(before, enabled=enabled))

    def add(self, name: str, toxic: Toxic) -> None:
        """Have a toxic on a proxy, in place of the one of its name if there is one."""
        before = self.proxy(name)
        others = tuple(one for one in before.toxics if one.name != toxic.name)
        if len(others) < len(before.toxics):
            self._asked("delete", f"/proxies/{name}/toxics/{toxic.name}")
        self._asked("post", f"/proxies/{name}/toxics", json=msgspec.to_builtins(toxic))
        self._holds(msgspec.structs.replace(before, toxics=(*others, toxic)))

    def remove(self, name: str, toxic: str) -> None:
        """Take a toxic off a proxy."""
        before = self.proxy(name)
        self._asked("delete", f"/proxies/{name}/toxics/{toxic}")
        others = tuple(one for one in before.toxics if one.name != toxic)
        self._holds(msgspec.structs.replace(before, toxics=others))

    @contextlib.contextmanager
    def down(self, name: str) -> Iterator[None]:
        """A proxy that is down for as long as the block lasts."""
        self.enable(name, enabled=False)
        try:
            yield
        finally:
            self.enable(name)

    @contextlib.contextmanager
    def toxic(self, name: str, toxic: Toxic) -> Iterator[None]:
        """A toxic that is on a proxy for as long as the block lasts."""
        try:
            self.add(name, toxic)
        except ToxiproxyError:
            # One that is not held as it was told may be there all the same.
            with contextlib.suppress(ToxiproxyError):
                self.remove(name, toxic.name)
            raise
        try:
            yield
        finally:
            self.remove(name, toxic.name)

    def _holds(self, wanted: Proxy) -> None:
        """Read back what was written."""
        found = self.proxy(wanted.name)
        if _facts(found) != _facts(wanted):
            raise ToxiproxyError(f"Toxiproxy was told {wanted} and holds {found}")

    def _asked(self, verb: str, path: str, json: Mapping[str, Any] | None = None) -> Any:
        # An environment's HTTP proxy has no business between this machine and itself.
        timeout_s = TAKEN_OFF_S if verb == "delete" else TIMEOUT_S
        more = {"timeout": timeout_s, "proxies": {"http": None}}
        try:
            response = getattr(self._api, verb)(path, **more, **({"json": json} if json else {}))
            response.raise_for_status()
            return response.json() if response.content else None
        except (NotFound, ProxyExists, InvalidToxic, requests.RequestException, ValueError) as e:
            raise ToxiproxyError(f"Toxiproxy, asked to {verb} {path}: {e}") from e


def _facts(proxy: Proxy) -> Proxy:
    """The proxy with its toxics in one order: Toxiproxy tells them in its own."""
    return msgspec.structs.replace(
        proxy, toxics=tuple(sorted(proxy.toxics, key=lambda toxic: toxic.name))
    )


def put_links(port: int, links: tuple[Link, ...]) -> None:
    """Have all links on a Toxiproxy, as they are planned: it forgets them when it ends.

    Args:
        port: of its API.
        links: all.

    Raises:
        ToxiproxyError: it does not take them.
    """
    network = Network(port)
    for link in links:
        network.put(
            Proxy(
                name=link.name,
                listen=f"127.0.0.1:{link.listen}",
                upstream=f"127.0.0.1:{link.upstream}",
                toxics=_latency(link),
            )
        )


def _latency(link: Link) -> tuple[Toxic, ...]:
    if link.latency_ms == 0:
        return ()
    one_way = {"latency": round(link.latency_ms), "jitter": 0}
    return (
        Toxic(name="there", type="latency", stream="upstream", attributes=one_way),
        Toxic(name="back", type="latency", stream="downstream", attributes=one_way),
    )
