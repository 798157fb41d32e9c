"""One card, tried again and again: how many of its attempts are approved, and how many could be.

Beside the attack that alternates between regions which cannot see each other, another card is
tried at the same rate in one of them alone: what one region that sees all of it approves. What is
approved beyond that is the over-approval, and bounded. Each of `R` regions sees only its own share
of the attack, plus what it had before; so, whatever decides by counts and approves no more the
higher they are, approves in each region at most what it approves of the whole:

    models    split <= R * alone                     over-approval <= (R - 1) * alone
    brake     split <= (k - 1) * workers * R         over-approval <= that - alone

and neither can exceed what was sent. With a threshold K and counters that are l seconds behind, at
r attempts a second, alone = K + r l and split = R (K + (r / R) l) = R K + r l, within the first
line. A model need not approve less as counts grow, so its bound holds where it does.

Only approvals by the rungs in question count: where a worker is too busy for either, the last rung
answers, which knows no velocity; the stand-in budget bounds that one, see `chaos.exposure`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.checkout import Checkout, Decided, Population, paced
from chaos.spread import Place
from chaos.truth import Truth

__all__ = ["DECIDES", "Attack", "brake_over", "launch", "model_over"]

# Rungs that decide so.
DECIDES = {"model": ("full", "batch"), "brake": ("rules",)}


def model_over(alone: int, *, sent: int, regions: int) -> int:
    """The most that may be approved beyond `alone` where counters decide: see above.

    Args:
        alone: approved by one region that saw all.
        sent: attempts.
        regions: that saw a share each.
    """
    return min((regions - 1) * alone, sent - alone)


def brake_over(alone: int, *, sent: int, bound: int) -> int:
    """The same where the brake decides.

    Args:
        alone: approved by one region that saw all.
        sent: attempts.
        bound: of the brake, in all workers of all regions that saw a share.
    """
    return max(0, min(bound, sent) - alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What became of one.

    Attributes:
        decides: "model" or "brake".
        sent: attempts on the card, and as many on the one that a region sees alone.
        split: approved by it where they alternate between the regions.
        alone: approved by it where one region sees all.
        bound: of the over-approval.
        rungs: answers of both by rung.
    """

    decides: str
    sent: int
    split: int
    alone: int
    bound: int
    rungs: dict[str, int]

    @property
    def over(self) -> int:
        """Approved beyond what one region that saw all would have."""
        return self.split - self.alone

    @property
    def passed(self) -> bool:
        """Whether that is within the bound, and what it is about did decide."""
        told = any(self.rungs.get(rung) for rung in DECIDES[self.decides])
        return told and self.over <= self.bound


async def launch(
    checkout: Checkout,
    places: Sequence[Place],
    population: Population,
    truth: Truth,
    *,
    rate: float,
    seconds: float,
    brake: int | None = None,
) -> Attack:
    """Attack, in all places by turns and beside it in the first one alone.

    Args:
        checkout: that sends.
        places: regions that cannot see each other.
        population: what attempts are like.
        truth: told of every attempt.
        rate: attempts a second on each of the two cards.
        seconds: how long.
        brake: the brake's bound over the places, where it is what decides.
    """
    split: list[Decided] = []
    alone: list[Decided] = []
    sent, _ = await asyncio.gather(
        *(
            paced(
                _tried(checkout, among, population.attack(), truth, into),
                rate=rate,
                seconds=seconds,
            )
            for among, into in ((places, split), (places[:1], alone))
        )
    )
    decides = "model" if brake is None else "brake"
    approved = _approved(alone, decides)
    return Attack(
        decides=decides,
        sent=sent,
        split=_approved(split, decides),
        alone=approved,
        bound=model_over(approved, sent=sent, regions=len(places))
        if brake is None
        else brake_over(approved, sent=sent, bound=brake),
        rungs=dict(Counter(one.rung for one in (*split, *alone))),
    )


def _tried(
    checkout: Checkout,
    among: Sequence[Place],
    attempt: Callable[[], dict[str, Any]],
    truth: Truth,
    into: list[Decided],
) -> Callable[[int], Any]:
    async def one(number: int) -> None:
        body = attempt()
        into.append(await checkout.send(among[number % len(among)], body))
        truth.add(body)

    return one


def _approved(decided: Sequence[Decided], decides: str) -> int:
    return sum(one.action == "approve" and one.rung in DECIDES[decides] for one in decided)
