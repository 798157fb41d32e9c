"""Attempts that pressure sends to the last rung, all of a moment together.

The last rung costs nothing; what surrounds it does. A task that waits for a claim, a lock, a write
and a future of its own for each of these is most of what a decision costs on any rung, so that a
rung lower alone would relieve nobody. Here a batch goes through each stage as a whole:

    last rung -> policy, stand-in budget -> answer -> claim, with the answer in it -> record

An answer that needs no counters is there before its claim, so the two are one command. Only what
is sent for the first time comes here: a repeat says so (`X-Attempt-Retry`) and takes the way that
looks at other regions' claims, too. One that does not say so is found by the region's own claim.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from app.api.wire import Decision
from app.candidate import Candidate
from app.coalesce import Coalescer
from app.making import Making
from app.record.claims import Claim, Claims, ClaimState
from app.record.made import Asked, Made
from app.repeated import CLAIM_MS_MAX, KEEP_MS, answered_before
from app.telemetry import Telemetry
from fallback.ladder import Descent
from fallback.rung import Reason

__all__ = ["Pressed"]

BATCH_MAX = 64

_encode = msgspec.json.Encoder().encode


class Pressed:
    """Decides attempts on the last rung. For one event loop."""

    def __init__(
        self,
        *,
        assess: Callable[[Sequence[Candidate], Reason], list[Descent]],
        making: Making,
        claims: Claims,
        telemetry: Telemetry,
    ) -> None:
        """Take what answers are made by.

        Args:
            assess: the last rung.
            making: makes answers of assessments.
            claims: on attempt ids.
            telemetry: counts repeats.
        """
        self._assess = assess
        self._making = making
        self._claims = claims
        self._telemetry = telemetry
        self._batches: Coalescer[Asked, Decision] = Coalescer(self._decide, batch_max=BATCH_MAX)

    def decide(self, asked: Asked) -> asyncio.Future[Decision]:
        """Decide with the others of this turn; see `Decider.decide`."""
        return self._batches.submit(asked)

    async def _decide(self, batch: list[Asked]) -> list[Decision | BaseException]:
        descents = self._assess([one.candidate for one in batch], Reason.PRESSURE)
        made = list(map(self._making.weighed, batch, descents))
        answers = list(map(self._making.answer, made))
        claims = await self._claimed(batch, answers)
        return list(map(self._kept, made, answers, claims))

    async def _claimed(self, batch: Sequence[Asked], answers: Sequence[Decision]) -> list[Claim]:
        """Claim the ids for their answers; a store that is late has no say."""
        entering = asyncio.ensure_future(
            self._claims.enter(
                (one.candidate.tenant, answer.attempt_id, one.identity, _encode(answer))
                for one, answer in zip(batch, answers, strict=True)
            )
        )
        wait_ms = min(one.deadline.share(CLAIM_MS_MAX, KEEP_MS) for one in batch)
        await asyncio.wait([entering], timeout=wait_ms / 1_000)
        if entering.done():
            return entering.result()
        return [Claim(ClaimState.UNKNOWN)] * len(batch)

    def _kept(self, made: Made, answer: Decision, claim: Claim) -> Decision | BaseException:
        """The answer, recorded; or what was answered before."""
        try:
            if (before := answered_before(claim, self._telemetry)) is not None:
                return before
        except Exception as error:  # noqa: BLE001 - of this attempt, not of the others
            return error
        self._making.keep(made, answer)
        return answer
