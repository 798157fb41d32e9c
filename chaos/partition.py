"""Two regions are cut off from each other while both decide on the same cards, then healed.

The replication of either direction is taken down, so that each goes on with what it had of the
other. Attempts on shared cards, devices, addresses and merchants go to both all the while. Once
the cut is healed every region must read, of every entity and window, what was sent: nothing lost,
nothing counted twice.

During the cut one card is tried in both regions by turns, first while models decide, then with the
models withdrawn, so that rules and brake do: see `chaos.attack` for the bound on what that gains.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from app.errors import OperatorError
from chaos.attack import Attack, launch
from chaos.checkout import Checkout, Population, paced
from chaos.spread import Place
from chaos.truth import Agreement, Truth, agree
from regions.world.plan import Plan
from regions.world.toxiproxy import Network

__all__ = ["Partition", "cut_off", "cut_off_links", "run_partition"]

BEFORE_S = 3.0
SETTLE_S = 2.0
ATTACK_S, ATTACK_RATE = 10.0, 10.0
EQUAL_S = 60.0
CARDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """What came of it.

    Attributes:
        between: the regions that were cut off from each other.
        hold_s: how long, at least.
        attempts: sent and decided, each once.
        agreement: of what every region read afterwards; its times run from the healing.
        attacks: during the cut.
    """

    between: tuple[str, str]
    hold_s: float
    attempts: int
    agreement: Agreement
    attacks: list[Attack]

    @property
    def passed(self) -> bool:
        """Whether all counters came to be what was sent, and every attack stayed in its bound."""
        return self.agreement.passed and all(attack.passed for attack in self.attacks)


def cut_off_links(plan: Plan, one: str, other: str) -> list[str]:
    """The links that carry counters between two regions, both ways.

    Args:
        plan: of the world.
        one: of the regions.
        other: of them.

    Raises:
        OperatorError: nothing can be cut: the links are direct, or there are none.
    """
    found = [
        link.name
        for link in plan.links
        if link.carries == "replication" and {link.near, link.far} == {one, other}
    ]
    if not found or plan.network_port is None:
        raise OperatorError(
            f"the links between {one} and {other} cannot be cut: there is no Toxiproxy between "
            "them. 'make toxiproxy' gets it; then 'stepdown down' and 'stepdown up'."
        )
    return found


@contextmanager
def cut_off(plan: Plan, one: str, other: str) -> Iterator[None]:
    """Two regions get nothing of each other's counters.

    Args:
        plan: of the world.
        one: of the regions.
        other: of them.

    Raises:
        OperatorError: nothing can be cut.
    """
    links = cut_off_links(plan, one, other)
    assert plan.network_port is not None
    network = Network(plan.network_port)
    with ExitStack() as down:
        for link in links:
            down.enter_context(network.down(link))
        yield


async def run_partition(
    places: Sequence[Place],
    cut: AbstractContextManager[None],
    withdrawn: AbstractContextManager[None],
    *,
    key: str,
    template: Mapping[str, Any],
    brake: int,
    rate: float,
    hold_s: float,
    seed: int = 1,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Partition:
    """Run it; whatever happens, everything is given back.

    Args:
        places: the regions; the first two are cut off from each other.
        cut: between them.
        withdrawn: takes their models away.
        key: API key.
        template: an attempt.
        brake: the brake's bound over both regions.
        rate: attempts a second to each of the two.
        hold_s: how long they are cut off, > 0.
        seed: of what is sent.
        report: told the share done and what is being done.
    """
    truth = Truth(places[0].settings.feature_set, shared=[template["merchant"]["id"]])
    async with Checkout(key) as checkout:
        traffic = _Traffic(
            pair=places[:2],
            checkout=checkout,
            population=Population.of(template, cards=CARDS, rng=random.Random(seed)),
            truth=truth,
            rate=rate,
        )
        report(0.0, "before the cut")
        await traffic.load(BEFORE_S)
        with ExitStack() as away:
            await asyncio.to_thread(away.enter_context, cut)
            report(0.1, "cut off")
            load = asyncio.create_task(traffic.load(hold_s))
            try:
                attacks = await traffic.attacks(hold_s, withdrawn, brake, report)
                report(0.7, "cut off, with models")
                await load
            finally:
                load.cancel()
            await asyncio.to_thread(away.close)
    report(0.9, "healed: until every region reads what was sent")
    return Partition(
        between=(places[0].region, places[1].region),
        hold_s=hold_s,
        attempts=truth.attempts,
        agreement=await agree(
            [place.settings for place in places], truth.counts(), timeout_s=EQUAL_S
        ),
        attacks=attacks,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traffic:
    """What is sent to two regions: `rate` attempts a second to each, and attacks beside."""

    pair: Sequence[Place]
    checkout: Checkout
    population: Population
    truth: Truth
    rate: float

    async def load(self, seconds: float) -> None:
        """Send attempts on shared cards to both."""
        await asyncio.gather(
            *(paced(self._to(place), rate=self.rate, seconds=seconds) for place in self.pair)
        )

    async def attacks(
        self,
        hold_s: float,
        withdrawn: AbstractContextManager[None],
        brake: int,
        report: Callable[[float, str], None],
    ) -> list[Attack]:
        """Attack while models decide, and then without them."""
        seconds = min(ATTACK_S, hold_s / 3)
        attacks = [await self._attack(seconds)]
        with withdrawn:
            report(0.4, "cut off, and the models are withdrawn")
            await asyncio.sleep(SETTLE_S)
            return [*attacks, await self._attack(seconds, brake)]

    async def _attack(self, seconds: float, brake: int | None = None) -> Attack:
        return await launch(
            self.checkout,
            self.pair,
            self.population,
            self.truth,
            rate=ATTACK_RATE,
            seconds=seconds,
            brake=brake,
        )

    def _to(self, place: Place) -> Callable[[int], Any]:
        async def one(_number: int) -> None:
            body = self.population.attempt()
            await self.checkout.send(place, body)
            self.truth.add(body)

        return one
