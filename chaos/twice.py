"""The same attempts, sent to two regions: decided once, or twice and one of the two taken back.

One after the other, longer apart than an answer takes to be copied, every region must give the
decision that the first one gave. At once no region can know of the other, and both may decide: the
client library sends a hedge to a second region because the first one's answer does not come, acts
on the answer that comes first, and reports the other decision as `superseded` to the region that
made it. Of each attempt exactly one decision must then stand, and counters must be what was sent.

The hedges are made by answers that come late, from every region alike: questions arrive at once,
so that the second region is asked before the first one's answer can have been copied to it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.record.follow_up import decode_follow_up
from app.record.frames import Kind
from app.record.ring_file import wait_until_written
from app.streams.journal_tail import JournalTail
from chaos.checkout import Checkout, Decided, Population, paced
from chaos.relay import Way, late_answers
from chaos.spread import Place
from chaos.truth import Agreement, Truth, agree
from stepdown_client import Answer, ClientSettings, EjectionPolicy, StepdownClient

__all__ = ["AtOnce", "Later", "Twice", "run_twice", "standing"]

# Far longer than an answer takes to be copied; see the spread drill.
APART_S = 2.0
# Answers that a client has to have seen of an endpoint before it hedges, and some more.
WARM_UP = 40
LATE_S, TOGETHER = 0.4, 10
DEADLINE_MS = 4_000.0
POSTED_S, EQUAL_S = 30.0, 60.0
CARDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Attempts that were sent again to another region.

    Attributes:
        region: that they were sent to again.
        attempts: how many.
        same: of them, got the same decision.
    """

    region: str
    attempts: int
    same: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce:
    """Attempts that were sent to two regions at once.

    Attributes:
        attempts: how many.
        answered: by a region, and the answer's signature holds.
        twice: decided by two regions.
        superseded: decisions that were taken back.
        unclear: attempts of which not exactly one decision stands, the one that was acted on.
    """

    attempts: int
    answered: int
    twice: int
    superseded: int
    unclear: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice:
    """The whole drill.

    Attributes:
        later: by region, those sent one after the other.
        at_once: those sent at once.
        agreement: of what every region read in the end, of all attempts.
    """

    later: list[Later]
    at_once: AtOnce
    agreement: Agreement

    @property
    def passed(self) -> bool:
        """Whether decisions and counters are one each, and some attempts were decided twice."""
        found = self.at_once
        return (
            all(0 < again.attempts == again.same for again in self.later)
            and found.answered == found.attempts
            and found.twice > 0 == found.unclear
            and self.agreement.passed
        )


async def run_twice(
    places: Sequence[Place],
    *,
    key: str,
    template: Mapping[str, Any],
    home: Path,
    rate: float,
    hold_s: float,
    seed: int = 1,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Twice:
    """Run it.

    Args:
        places: the regions.
        key: API key.
        template: an attempt.
        home: folder of all state, for the journals.
        rate: attempts a second.
        hold_s: how long attempts are sent to each region; half as many are sent at once.
        seed: of what is sent.
        report: told the share done and what is being done.
    """
    population = Population.of(template, cards=CARDS, rng=random.Random(seed))
    truth = Truth(places[0].settings.feature_set, shared=[template["merchant"]["id"]])
    count = max(1, round(rate * hold_s))
    report(0.0, "one region after the other")
    bodies = [population.attempt() for _ in range(count)]
    later = await _later(places, bodies, key=key, rate=rate)
    report(0.5, "two regions at once")
    hedged = [population.attempt() for _ in range(max(1, count // 2))]
    warm = [population.attempt() for _ in range(WARM_UP * len(places))]
    acted_on, superseded = await _at_once(places, warm, hedged, key=key, home=home)
    for body in (*bodies, *warm, *hedged):
        truth.add(body)
    report(0.8, "until every region reads what was sent")
    agreement = await agree([place.settings for place in places], truth.counts(), timeout_s=EQUAL_S)
    journals = [home / place.region / "journal" for place in places]
    return Twice(
        later=later,
        at_once=_found(acted_on, journals, superseded=superseded),
        agreement=agreement,
    )


def _found(acted_on: Mapping[str, Answer], journals: Sequence[Path], *, superseded: int) -> AtOnce:
    """What the journals say of attempts that were sent at once, beside what the client got."""
    decided, withdrawn = _journaled(journals)
    stand = {id: standing(decided.get(id, []), withdrawn) for id in acted_on}
    return AtOnce(
        attempts=len(acted_on),
        answered=sum(answer.signed for answer in acted_on.values()),
        twice=sum(len(decided.get(id, [])) > 1 for id in acted_on),
        superseded=superseded,
        unclear=sum(stand[id] != [answer.decision_id] for id, answer in acted_on.items()),
    )


def standing(decided: Sequence[str], withdrawn: set[str]) -> list[str]:
    """The decisions on an attempt that were not taken back."""
    return [decision for decision in decided if decision not in withdrawn]


async def _later(
    places: Sequence[Place], bodies: Sequence[Mapping[str, Any]], *, key: str, rate: float
) -> list[Later]:
    """Send the same attempts to one region after the other."""
    by_region: list[dict[int, Decided]] = [{} for _ in places]
    async with Checkout(key) as checkout:
        for place, decided in zip(places, by_region, strict=True):

            async def one(
                number: int, place: Place = place, decided: dict[int, Decided] = decided
            ) -> None:
                decided[number] = await checkout.send(place, bodies[number])

            await paced(one, rate=rate, seconds=len(bodies) / rate)
            await asyncio.sleep(APART_S)
    first, *others = by_region
    return [
        Later(
            region=place.region,
            attempts=len(first),
            same=sum(again[number] == first[number] for number in first),
        )
        for place, again in zip(places[1:], others, strict=True)
    ]


async def _at_once(
    places: Sequence[Place],
    warm: Sequence[Mapping[str, Any]],
    bodies: Sequence[Mapping[str, Any]],
    *,
    key: str,
    home: Path,
) -> tuple[dict[str, Answer], int]:
    """Have the client library decide attempts; answers by attempt, and what it has taken back.

    Attempts that nothing was late for come between those that were, or the client would learn
    that answers take long, and hedge no more.
    """
    acted_on: dict[str, Answer] = {}
    async with _client(places, key=key, home=home) as (client, ways):

        async def decide(body: Mapping[str, Any]) -> None:
            acted_on[body["attempt_id"]] = await client.decide(body)

        for body in warm:
            await decide(body)
        acted_on.clear()
        for start in range(0, len(bodies), TOGETHER):
            for way in ways:
                way.late_s = LATE_S
            await asyncio.gather(*(decide(body) for body in bodies[start : start + TOGETHER]))
            await client.wait_posted_back(timeout_s=POSTED_S)
            for way in ways:
                way.late_s = 0.0
        return acted_on, client.stats().superseded


@asynccontextmanager
async def _client(
    places: Sequence[Place], *, key: str, home: Path
) -> AsyncIterator[tuple[StepdownClient, list[Way]]]:
    """A client whose ways to all regions can be made slow, and that puts up with it."""
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(late_answers(place.api)) for place in places]
        settings = ClientSettings(
            endpoints={place.region: way.url for place, way in zip(places, ways, strict=True)},
            api_key=key,
            trusted_keys=home / places[0].region / "journal" / "keyring",
            deadline_ms=DEADLINE_MS,
            service_deadline_ms=1_000.0,
            hedge_share=1.0,
            ejection=EjectionPolicy(calls_min=1_000_000, failures_in_a_row=1_000_000),
        )
        yield await stack.enter_async_context(StepdownClient(settings)), ways


class _Decision(msgspec.Struct, frozen=True):
    """What is read of a decision's record."""

    attempt_id: str
    decision_id: str


def _journaled(journals: Sequence[Path]) -> tuple[Mapping[str, list[str]], set[str]]:
    """Decisions by attempt, and those that were superseded, of all regions."""
    decided: dict[str, list[str]] = {}
    superseded = set()
    for journal in journals:
        wait_until_written(journal)
        tail = JournalTail(journal)
        while records := tail.read(1_000):
            for record in records:
                if record.kind is Kind.DECISION:
                    made = msgspec.msgpack.decode(record.payload, type=_Decision)
                    decided.setdefault(made.attempt_id, []).append(made.decision_id)
                elif record.kind is Kind.OUTCOME:
                    follow_up = decode_follow_up(record.payload)
                    if b'"superseded"' in follow_up.body and follow_up.decision_id:
                        superseded.add(follow_up.decision_id)
    return decided, superseded
