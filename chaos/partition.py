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
    pair = places[:2]
    population = Population.of(template, cards=CARDS, rng=random.Random(seed))
    truth = Truth(places[0].settings.feature_set, shared=[template["merchant"]["id"]])
    async with Checkout(key) as checkout:

        async def loaded(seconds: float) -> None:
            await asyncio.gather(
                *(
                    paced(_sent(checkout, place, population, truth), rate=rate, seconds=seconds)
                    for place in pair
                )
            )

        async def attacked(brake: int | None = None) -> Attack:
            return await launch(
                checkout,
                pair,
                population,
                truth,
                rate=ATTACK_RATE,
                seconds=min(ATTACK_S, hold_s / 3),
                brake=brake,
            )

        report(0.0, "before the cut")
        await loaded(BEFORE_S)
        with ExitStack() as away:
            await asyncio.to_thread(away.enter_context, cut)
            report(0.1, f"{pair[0].region} and {pair[1].region} are cut off")
            load = asyncio.create_task(loaded(hold_s))
            try:
                attacks = [await attacked()]
                with withdrawn:
                    report(0.4, "the models are withdrawn, too")
                    await asyncio.sleep(SETTLE_S)
                    attacks.append(await attacked(brake))
                report(0.7, "cut off, with models")
                await load
            finally:
                load.cancel()
            await asyncio.to_thread(away.close)
        report(0.9, "healed: until every region reads what was sent")
        agreement = await agree(
            [place.settings for place in places], truth.counts(), timeout_s=EQUAL_S
        )
    return Partition(
        between=(pair[0].region, pair[1].region),
        hold_s=hold_s,
        attempts=truth.attempts,
        agreement=agreement,
        attacks=attacks,
    )


def _sent(
    checkout: Checkout, place: Place, population: Population, truth: Truth
) -> Callable[[int], Any]:
    async def one(_number: int) -> None:
        body = population.attempt()
        await checkout.send(place, body)
        truth.add(body)

    return one
