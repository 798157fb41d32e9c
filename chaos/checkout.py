"""A checkout as truth drills need one: it sends an attempt until it is answered, and remembers.

An attempt without an answer may or may not have been decided. So it is sent again under its id,
which is safe, until there is one: what was sent is then what was decided, each attempt once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import msgspec

from app.errors import OperatorError
from app.fresh_id import fresh_id
from chaos.spread import Place

__all__ = ["Checkout", "Decided", "Population", "Unanswered", "paced"]

TIMEOUT_S = 2.0
TRIES = 5
AGAIN_S = 0.2


class Unanswered(OperatorError):  # noqa: N818 - a fact about an attempt, said as one
    """A region did not answer an attempt, however often it was sent."""


class Decided(msgspec.Struct, frozen=True):
    """What is kept of an answer."""

    decision_id: str
    action: str
    rung: str


class Checkout:
    """Sends attempts to regions, each over a connection of its own: to any worker at any time."""

    def __init__(self, key: str) -> None:
        """Make a checkout; use it as an async context manager.

        Args:
            key: API key.
        """
        self._headers = {"X-Api-Key": key, "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers=self._headers,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        assert self._session is not None
        await self._session.close()

    async def send(self, place: Place, body: Mapping[str, Any]) -> Decided:
        """Have a region decide an attempt.

        Raises:
            Unanswered: it does not.
        """
        content, why = msgspec.json.encode(body), ""
        assert self._session is not None
        for _ in range(TRIES):
            try:
                async with self._session.post(f"{place.api}/v1/decisions", data=content) as reply:
                    answer = await reply.read()
                    if reply.status == 200:
                        return msgspec.json.decode(answer, type=Decided)
                    why = f"status {reply.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                why = type(error).__name__
            await asyncio.sleep(AGAIN_S)
        raise Unanswered(f"{place.region} does not decide {body['attempt_id']} ({why}).")


@dataclass(frozen=True)
class Population:
    """Cards, devices and so on that nobody else has; attempts are drawn among them.

    Attributes:
        template: an attempt; whatever is not drawn is as it is there.
        ids: by kind.
        rng: draws.
    """

    template: Mapping[str, Any]
    ids: Mapping[str, list[str]]
    rng: random.Random

    @classmethod
    def of(cls, template: Mapping[str, Any], *, cards: int, rng: random.Random) -> Self:
        """A population of so many cards, half as many of everything else, two merchants at least.

        Args:
            template: an attempt.
            cards: how many.
            rng: draws ids' owners, never ids.
        """
        sizes = {"tok": cards, "dev": cards // 2, "ip": cards // 2, "eml": cards // 2}
        sizes |= {"cus": cards, "mer": cards // 8}
        return cls(
            template,
            {kind: [fresh_id(kind) for _ in range(max(2, size))] for kind, size in sizes.items()},
            rng,
        )

    def attempt(self) -> dict[str, Any]:
        """One attempt of 50 to 150 minor units: small, so that no budget of a tier is used up."""
        drawn = {kind: self.rng.choice(ids) for kind, ids in self.ids.items()}
        return self._with(drawn, self.rng.randint(50, 150))

    def attack(self, amount: int = 100) -> Callable[[], dict[str, Any]]:
        """Attempts of one card, at the template's merchant: of a tier that may approve much.

        Args:
            amount: of each, minor units.
        """
        drawn = {kind: fresh_id(kind) for kind in self.ids if kind != "mer"}
        return lambda: self._with(drawn, amount)

    def _with(self, drawn: Mapping[str, str], amount: int) -> dict[str, Any]:
        body = self.template
        merchant = {"id": drawn["mer"]} if "mer" in drawn else body["merchant"]
        return {
            **body,
            "attempt_id": fresh_id("att"),
            "amount": {"value": amount, "currency": "USD"},
            "merchant": merchant,
            "instrument": {**body["instrument"], "token": drawn["tok"]},
            "customer": {
                **body.get("customer", {}),
                "id": drawn["cus"],
                "email_hash": drawn["eml"],
            },
            "device": {**body.get("device", {}), "id": drawn["dev"]},
            "network": {**body.get("network", {}), "ip_hash": drawn["ip"]},
        }


async def paced(
    send: Callable[[int], Awaitable[None]], *, rate: float, seconds: float, start_s: float = 0.0
) -> int:
    """Send at a steady rate, each at its time whatever came before; returns how many.

    Args:
        send: sends one, by number from 0.
        rate: a second.
        seconds: how long.
        start_s: when to begin, monotonic; at once by default.

    Raises:
        Exception: what sending raised first; the others are given up.
    """
    start_s = start_s or time.monotonic()
    count = round(rate * seconds)
    try:
        async with asyncio.TaskGroup() as sent:
            for number in range(count):
                await asyncio.sleep(max(0.0, start_s + number / rate - time.monotonic()))
                sent.create_task(_awaited(send(number)))
    except ExceptionGroup as group:  # of the first that failed; the others were given up
        raise group.exceptions[0] from None
    return count


async def _awaited(sending: Awaitable[None]) -> None:
    await sending
