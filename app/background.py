"""What follows a share of the answers: the lower rungs, and a shadow model, on the same attempt.

A rung that is only used when another has failed is cold, and nobody knows what it costs. So a share
of the answered attempts is assessed again on each rung below the one that answered, the assessment
made an action by the same policy, and the two actions counted side by side.

Nothing of live traffic is touched: ladders, breakers and models' batches are this worker's own, the
candidate is the one that was answered (with what the brake had counted), and what comes out is
counted and thrown away. It is no decision: nothing is claimed, recorded or taken from a budget.

| when | what is done |
|---|---|
| an attempt is not in the share | one comparison |
| it is | its work waits, in `fallback.background`, `GATHER_S` at least |
| the loop had nothing else to do for a whole turn, and there is no live pressure | some of it |
| else | looked at again after `PAUSE_S` |

Assessed together they cost less than each by itself, since most of it is what a call costs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.api.wire import Decision
from app.candidate import Candidate
from app.features.vector import Row
from app.policy import Policy
from app.record.made import Made
from app.shadow import Shadow
from app.telemetry import Telemetry
from app.verdict import act
from fallback.background import BackgroundQueue, Dropped, Work
from fallback.clock import Clock
from fallback.deadline import Deadline
from fallback.errors import RungError
from fallback.events import Event, Listener, RungSkipped
from fallback.ladder import Descent, Ladder
from fallback.pressure import Pressure
from fallback.rung import Action, Assessment, RungName

__all__ = ["Background", "skipped_into"]

# After an answer: others come meanwhile.
GATHER_S = 0.25
# After a look at a busy loop.
PAUSE_S = 0.02
# Few beside a batch of live attempts, since they hold the loop; a shadow scores one by one.
TOGETHER = {Work.RESCORE: 8, Work.SHADOW: 1}
# An empty turn was measured at 7 us, and 17 in one of a hundred; beyond this something was done.
IDLE_TURN_S = 0.000_1
# Nobody waits; bounds a rung that hangs.
WORK_MS = 1_000.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """What an answer leaves behind.

    Attributes:
        candidate: the attempt.
        rung: that answered.
        action: by policy; what a budget made of it says nothing of the rung.
        score: of the rung; None where it has none.
        row: that was scored; None where none was.
    """

    candidate: Candidate
    rung: RungName
    action: Action
    score: float | None
    row: Row | None


class Background:
    """The background worker of one process. For one thread: the event loop's."""

    def __init__(
        self,
        ladders: Mapping[RungName, Ladder[Candidate]],
        shadow: Shadow,
        *,
        share: float,
        pressure: Pressure,
        policy: Callable[[], Policy],
        telemetry: Telemetry,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """Make the worker.

        Args:
            ladders: by lower rung, highest first: one with that rung as its only step, or as its
                last rung, and with a listener that is not that of live traffic.
            shadow: the model in shadow, if there is one.
            share: of the answers that are followed, 0 to 1.
            pressure: of live traffic.
            policy: in force.
            telemetry: counts what comes of it.
            clock: monotonic.
            rng: draws the share.
        """
        self._ladders = ladders
        self._shadow = shadow
        self._share = share
        self._pressure = pressure
        self._policy = policy
        self._telemetry = telemetry
        self._clock = clock
        self._rng = rng
        self._there_is_work = asyncio.Event()
        self._queue: BackgroundQueue[_Answered] = BackgroundQueue(
            pressed=self._pressed, dropped=self._dropped
        )

    def decided(self, made: Made, answer: Decision) -> None:  # noqa: ARG002 - as all followers
        """Follow an answer, if it is in the share."""
        if self._rng.random() >= self._share:
            return
        descent = made.descent
        answered = _Answered(
            candidate=made.asked.candidate,
            rung=descent.rung,
            action=made.action if made.withheld is None else Action.APPROVE,
            score=descent.assessment.score,
            row=made.row,
        )
        if descent.rung is not RungName.TIER_DEFAULT:
            self._queue.offer(Work.RESCORE, answered)
        if self._shadow.there:
            self._queue.offer(Work.SHADOW, answered)
        self._there_is_work.set()

    async def run(self) -> None:
        """Work for the life of the process."""
        while True:
            await self._there_is_work.wait()
            await asyncio.sleep(GATHER_S)
            while len(self._queue):
                await self.work_off()
                await asyncio.sleep(PAUSE_S)

    async def work_off(self) -> None:
        """Work off what waits, for as long as the loop has nothing else to do."""
        while len(self._queue):
            if not self._pressed() and not await self._idle():
                return
            if (taken := self._queue.take(TOGETHER)) is not None:
                await self._do(*taken)
        self._there_is_work.clear()

    async def _do(self, work: Work, answered: Sequence[_Answered]) -> None:
        try:
            if work is Work.RESCORE:
                await self._rescore(answered)
            else:
                for one in answered:
                    self._in_shadow(one)
        except Exception:
            log.exception("bug in the background")
            self._telemetry.count("bugs", "background")

    async def _rescore(self, answered: Sequence[_Answered]) -> None:
        """Assess on every rung below the ones that answered."""
        rungs = list(RungName)
        for number, rung in enumerate(rungs):
            above = [one for one in answered if rungs.index(one.rung) < number]
            if not above:
                continue
            descents = await self._ladders[rung].assess(
                [one.candidate for one in above], self._deadline()
            )
            for one, descent in zip(above, descents, strict=True):
                # Else the ladder has told why not.
                if isinstance(descent, Descent) and descent.rung is rung:
                    action, gap = self._weighed(one, descent.assessment)
                    self._telemetry.count("agreement", rung, one.rung, one.action, action)
                    self._telemetry.differed(rung, gap)

    def _in_shadow(self, answered: _Answered) -> None:
        candidate = answered.candidate
        try:
            said = self._shadow.score(candidate, answered.row, self._deadline())
        except RungError as error:
            self._telemetry.count("background_skipped", "shadow", error.reason)
            return
        assessment = Assessment(score=said.score, action=None, ranking=said.score)
        action, gap = self._weighed(answered, assessment)
        self._telemetry.count("shadow", said.version, said.rung, answered.action, action)
        self._telemetry.differed("shadow", gap)

    def _weighed(self, answered: _Answered, assessment: Assessment) -> tuple[Action, float | None]:
        """The action by policy, and how far the score is from the live one where both have one."""
        action, _ = act(answered.candidate, assessment, self._policy())
        if assessment.score is None or answered.score is None:
            return action, None
        return action, abs(assessment.score - answered.score)

    def _deadline(self) -> Deadline:
        return Deadline.after(budget_ms=WORK_MS, clock=self._clock)

    async def _idle(self) -> bool:
        """Whether a whole turn of the loop passes with nothing done in it."""
        started_s = self._clock.monotonic()
        await asyncio.sleep(0)
        return self._clock.monotonic() - started_s < IDLE_TURN_S

    def _pressed(self) -> bool:
        return self._pressure.depth > 0

    def _dropped(self, work: Work, why: Dropped) -> None:
        self._telemetry.count("background_dropped", work, why)


def skipped_into(telemetry: Telemetry) -> Listener:
    """A listener for the background's ladders: what could not assess is counted apart."""

    def listen(event: Event) -> None:
        if not isinstance(event, RungSkipped):
            return
        telemetry.count("background_skipped", event.rung, event.reason)
        if event.bug is not None:
            telemetry.count("bugs", "background")
            log.error("bug on the %s rung, in the background", event.rung, exc_info=event.bug)

    return listen
