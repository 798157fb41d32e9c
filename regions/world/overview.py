"""The world at a glance: what each region serves, how fresh each sees the others, what is wrong.

Told by who knows: the operations listeners of rungs, sources and breakers, the datastores of their
replication, Toxiproxy of the links, the supervisor of its processes.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec

from regions.world.control import WorldStatus
from regions.world.home import Home
from regions.world.plan import Link, Plan, ProcessState

__all__ = ["LinkSeen", "Overview", "Replica", "look"]

_TIMEOUT_S = 1.0

Readyz = Mapping[str, Any]


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One region's copy of a shard of another region's store.

    Attributes:
        name: of its process.
        reader: the region that has the copy.
        source: the region whose counters these are.
        link: whether it follows its primary; None while it does not say.
        behind_bytes: of its primary's writes; None while either does not say.
    """

    name: str
    reader: str
    source: str
    link: Literal["up", "down"] | None
    behind_bytes: int | None


class LinkSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A link between two regions as it stands.

    Attributes:
        link: as planned.
        through: a proxy with the latency of the topology, or nothing.
        state: `cut` is a proxy that is down, `unknown` one that Toxiproxy does not tell of.
        toxics: types of what else its proxy does to it.
    """

    link: Link
    through: Literal["proxy", "direct"]
    state: Literal["up", "cut", "unknown"]
    toxics: tuple[str, ...] = ()


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at a glance.

    Attributes:
        status: of the processes.
        regions: what each operations listener says; None where it does not.
        replicas: of all regions.
        links: between them.
    """

    status: WorldStatus
    regions: dict[str, dict[str, Any] | None]
    replicas: tuple[Replica, ...]
    links: tuple[LinkSeen, ...]

    def problems(self) -> list[str]:
        """What is not as it should be, one sentence each, the worst first."""
        return [*self._silent(), *self._away(), *self._down(), *self._cut()]

    def _silent(self) -> Iterator[str]:
        for region, said in self.regions.items():
            if said is None:
                yield f"{region} does not say which rungs it can serve."
                continue
            for rung, state in said.get("rungs", {}).items():
                if not state["available"]:
                    yield f"{region} cannot serve {rung}: {state['why']}."

    def _away(self) -> Iterator[str]:
        for region, said in self.regions.items():
            for source, why in (said or {}).get("sources", {}).items():
                if why is not None:
                    age_s = (said or {}).get("ages", {}).get(f"counters:{source}")
                    old = "" if age_s is None else f" ({age_s:.0f} s old)"
                    whose = "its own counters" if source == region else f"the counters of {source}"
                    yield f"{region} does without {whose}: {why}{old}."
            for breaker, state in (said or {}).get("breakers", {}).items():
                if state != "closed":
                    yield f"{region}: breaker {breaker} is {state}."

    def _down(self) -> Iterator[str]:
        for process in self.status.processes:
            if process.state is not ProcessState.READY:
                yield f"{process.name} is {process.state}; its log is {process.log}"
        for replica in self.replicas:
            if replica.link == "down":
                yield f"{replica.name} does not follow its primary in {replica.source}."

    def _cut(self) -> Iterator[str]:
        for seen in self.links:
            if seen.state == "cut":
                yield f"the link {seen.link.name} is cut."
            elif seen.state == "unknown":
                yield f"the link {seen.link.name} is not there."
            for toxic in seen.toxics:
                yield f"the link {seen.link.name} has a toxic: {toxic}."


def look(home: Home, status: WorldStatus) -> Overview:
    """Ask everybody, at the same time."""
    # The datastores' driver takes half a second to import, which other commands need not wait for.
    from regions.world.replication import replicas_of  # noqa: PLC0415

    plan = msgspec.json.decode(home.plan.read_bytes(), type=Plan)
    with ThreadPoolExecutor(8) as pool:
        said = {
            region: pool.submit(_readyz, status.port(f"{region}/operations"))
            for region in status.regions
        }
        replicas = pool.submit(replicas_of, home, status, plan.links)
        links = pool.submit(_links, plan)
        return Overview(
            status=status,
            regions={region: answer.result() for region, answer in said.items()},
            replicas=replicas.result(),
            links=links.result(),
        )


def _readyz(port: int | None) -> dict[str, Any] | None:
    """What a region's operations listener says; None when it does not say."""
    if port is None:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()


def _links(plan: Plan) -> tuple[LinkSeen, ...]:
    if plan.network_port is None:
        return tuple(LinkSeen(link=link, through="direct", state="up") for link in plan.links)
    # Only where there is a network is there something that speaks of it.
    from regions.world.toxiproxy import Network, ToxiproxyError  # noqa: PLC0415

    try:
        proxies = Network(plan.network_port).proxies()
    except ToxiproxyError:
        proxies = {}
    seen = []
    for link in plan.links:
        proxy = proxies.get(link.name)
        more = () if proxy is None else (one for one in proxy.toxics if one.name not in _OWN)
        up: Literal["up", "cut"] = "up" if proxy is not None and proxy.enabled else "cut"
        seen.append(
            LinkSeen(
                link=link,
                through="proxy",
                state="unknown" if proxy is None else up,
                toxics=tuple(one.type for one in more),
            )
        )
    return tuple(seen)


_OWN = ("there", "back")
