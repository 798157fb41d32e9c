"""What a client does beside answering: follow the routing document, probe, post back, supersede.

Each chore is a loop that ends with the client. None can disturb an answer: what fails is tried
again at the next turn, and counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec

from stepdown_client.clock import Clock
from stepdown_client.ejection import HealthState
from stepdown_client.errors import RefusedError, RoutingError, TryError
from stepdown_client.events import (
    Listener,
    PostedBack,
    RoutingRefused,
    RoutingTaken,
    Superseded,
)
from stepdown_client.pool import Endpoint, Pool
from stepdown_client.routing import RoutingTable
from stepdown_client.settings import ClientSettings
from stepdown_client.stand_ins import StandIn, StandIns
from stepdown_client.transport import Transport

__all__ = ["Chores"]

log = logging.getLogger("stepdown_client")

MERCHANTS_MAX = 100
TIMEOUT_MS = 1_000.0
# Of an endpoint that is up but idle: rarely, so that a fleet of clients is no load.
IDLE_TURNS = 10
POST_BACK_S = 0.02
POST_BACK_TOGETHER = 8
POST_BACK_AGAIN_S = 1.0
SUPERSEDES_MAX = 1_000
SUPERSEDE_TRIES = 3


@dataclass(slots=True)
class _Superseded:
    endpoint: Endpoint
    decision_id: str
    at: str  # once: the report sent again is the same report
    tries: int = 0


@dataclass(slots=True, kw_only=True)
class Chores:
    """A client's chores.

    Attributes:
        posted_back: stand-ins that a region has taken.
        superseded: decisions reported as not acted on.
        supersede_failed: that no region took, or that found no room.
    """

    settings: ClientSettings
    pool: Pool
    table: RoutingTable
    stand_ins: StandIns
    transport: Transport
    clock: Clock
    rng: random.Random
    tell: Listener
    posted_back: int = 0
    superseded: int = 0
    supersede_failed: int = 0
    _merchants: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _supersedes: deque[_Superseded] = field(default_factory=deque)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _posting: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _turn: int = 0

    def start(self) -> None:
        """Begin; belongs to the running loop."""
        if self.stand_ins:
            self._posting.set()
        self._tasks = [
            asyncio.create_task(self._forever(chore))
            for chore in (self._follow, self._probe, self._post_back)
        ]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def saw(self, merchant_id: str) -> None:
        """A merchant whose tier should be known; asked for soon if it is new."""
        if merchant_id in self._merchants:
            self._merchants.move_to_end(merchant_id)
            return
        self._merchants[merchant_id] = None
        if len(self._merchants) > MERCHANTS_MAX:
            self._merchants.popitem(last=False)
        self._wanted.set()

    def supersede(self, endpoint: Endpoint, decision_id: str) -> None:
        """A region decided an attempt on which another decision was acted on."""
        if len(self._supersedes) >= SUPERSEDES_MAX:
            self.supersede_failed += 1
            return
        at = datetime.fromtimestamp(self.clock.wall(), UTC).isoformat()
        self._supersedes.append(_Superseded(endpoint, decision_id, at))
        self._posting.set()

    def wake(self) -> None:
        """There is something to post back."""
        self._posting.set()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to post. Returns whether that came in time."""
        ends_s = self.clock.monotonic() + timeout_s
        while self._posting.is_set():
            if self.clock.monotonic() >= ends_s:
                return False
            await asyncio.sleep(POST_BACK_S)
        return True

    async def refresh(self) -> bool:
        """Ask for the routing document, nearest first. Returns whether a good one came."""
        query = urlencode([("merchant", merchant) for merchant in self._merchants])
        path = f"/v1/routing?{query}" if query else "/v1/routing"
        for endpoint in self.pool.order():
            try:
                reply = await self.transport.get(endpoint, path, timeout_ms=TIMEOUT_MS)
                before = self.table.routing
                routing = self.table.offer(reply.content)
            except RoutingError as error:
                self.tell(RoutingRefused(region=endpoint.region, why=str(error)))
            except (TryError, RefusedError) as error:
                log.debug("no routing document from %s: %s", endpoint.region, error)
            else:
                self.route()
                if before is None or before.version != routing.version:
                    self.tell(RoutingTaken(version=routing.version))
                return True
        return False

    def route(self) -> None:
        """Take over regions and weights of the document in force; configured addresses stay."""
        routing = self.table.routing
        if routing is None:
            return
        urls = {name: route.endpoint for name, route in routing.regions.items()}
        weights = {name: route.weight for name, route in routing.regions.items()}
        # In the configured order, then as the document has them.
        for gone in self.pool.route(
            {**self.settings.endpoints, **_others(urls, self.settings)}, weights
        ):
            self.transport.drop(gone)

    async def _follow(self) -> None:
        self._wanted.clear()
        good = await self.refresh()
        # Without a document there is nothing to verify answers by, nor to stand in with.
        wait_s = self.settings.routing_s if good or self.table.routing else 1.0
        wait_s *= self.rng.uniform(0.8, 1.0)
        try:
            await asyncio.wait_for(self._wanted.wait(), wait_s)
        except TimeoutError:
            return
        await asyncio.sleep(min(1.0, wait_s))  # new merchants come together

    async def _probe(self) -> None:
        due = [one for one in self.pool.endpoints.values() if self._is_due(one)]
        await asyncio.gather(*map(self._probe_one, due))
        self._turn += 1
        await asyncio.sleep(self.settings.probe_s * self.rng.uniform(0.8, 1.2))

    def _is_due(self, endpoint: Endpoint) -> bool:
        match endpoint.health.state:
            case HealthState.EJECTED:
                return endpoint.health.ejected_for_s <= 0
            case HealthState.RETURNING:  # how far it is now is not known yet
                return True
            case HealthState.UP:
                return self._turn % IDLE_TURNS == 0

    async def _probe_one(self, endpoint: Endpoint) -> None:
        started_s = self.clock.monotonic()
        try:
            await self.transport.get(endpoint, "/livez", timeout_ms=TIMEOUT_MS)
        except (TryError, RefusedError) as error:
            log.debug("no probe from %s: %s", endpoint.region, error)
        else:
            self.pool.probed(endpoint, (self.clock.monotonic() - started_s) * 1_000)

    async def _post_back(self) -> None:
        await self._posting.wait()
        few = self.stand_ins.oldest(POST_BACK_TOGETHER)
        posted = await asyncio.gather(*map(self._post_stand_in, few))
        good = all(posted) and await self._post_supersede()
        if not self.stand_ins and not self._supersedes:
            self._posting.clear()
        # A few at a time: a region that has just come back is not to be flooded.
        await asyncio.sleep(POST_BACK_S if good else POST_BACK_AGAIN_S)

    async def _post_stand_in(self, stand_in: StandIn) -> bool:
        """Post one to any region. Returns whether there is no more reason to wait."""
        body = msgspec.json.encode(stand_in)
        for endpoint in self.pool.order():
            try:
                await self.transport.post(endpoint, "/v1/stand-ins", body, timeout_ms=TIMEOUT_MS)
            except RefusedError as error:
                log.warning("%s is dropped: %s", stand_in.attempt.attempt_id, error)
                self.stand_ins.done(stand_in, taken=False)
                return True
            except TryError as error:
                log.debug("%s takes no stand-in: %s", endpoint.region, error)
            else:
                self.stand_ins.done(stand_in, taken=True)
                self.posted_back += 1
                attempt_id = stand_in.attempt.attempt_id
                self.tell(PostedBack(region=endpoint.region, attempt_id=attempt_id))
                return True
        return False

    async def _post_supersede(self) -> bool:
        """Post the oldest to the region that decided."""
        if not self._supersedes:
            return True
        one = self._supersedes.popleft()
        outcome = {
            "outcome_id": f"client-{one.decision_id.removeprefix('dec_')}",
            "kind": "superseded",
            "occurred_at": one.at,
            "decision_id": one.decision_id,
        }
        body = msgspec.json.encode(outcome)
        try:
            await self.transport.post(one.endpoint, "/v1/outcomes", body, timeout_ms=TIMEOUT_MS)
        except (TryError, RefusedError) as error:
            one.tries += 1
            if one.tries < SUPERSEDE_TRIES and isinstance(error, TryError):
                self._supersedes.append(one)
                return False
            log.warning("%s could not be superseded: %s", one.decision_id, error)
            self.supersede_failed += 1
        else:
            self.superseded += 1
            self.tell(Superseded(region=one.endpoint.region, decision_id=one.decision_id))
        return True

    async def _forever(self, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await chore()
            except Exception:
                log.exception("a chore failed")
                await asyncio.sleep(1.0)


def _others(urls: dict[str, str], settings: ClientSettings) -> dict[str, str]:
    """Addresses of regions that are not configured."""
    return {name: url for name, url in urls.items() if name not in settings.endpoints}
