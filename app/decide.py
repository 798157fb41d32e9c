"""The pipeline of one decision, on one page.

    candidate -> ladder, and beside it the claim on the attempt id -> policy -> stand-in budget
              -> record -> answer, and whoever follows decisions is told

Nothing here retries, waits for another region or can refuse to answer: what fails is the
ladder's business, and the ladder ends on a rung that cannot fail. Attempts that pressure sends to
that rung go another way, all of a moment together: `app/pressed.py`.
"""

from __future__ import annotations

import asyncio

import msgspec

from app.api.auth import Caller
from app.api.wire import Attempt, Decision
from app.candidate import Candidate
from app.making import Making
from app.pressed import Pressed
from app.record.claims import Claim, Claims, ClaimState
from app.record.made import Asked
from app.record.token import body_hash
from app.repeated import CLAIM_MS_MAX, KEEP_MS, answered_before
from app.telemetry import Telemetry
from app.tracing import Trace
from fallback.deadline import Deadline
from fallback.ladder import Ladder
from fallback.pressure import Pressure
from fallback.rung import Reason, RungName

__all__ = ["Decider"]


class Decider:
    """Decides payment attempts in one process."""

    def __init__(
        self,
        *,
        ladder: Ladder[Candidate],
        pressure: Pressure,
        making: Making,
        claims: Claims,
        telemetry: Telemetry,
    ) -> None:
        self._ladder = ladder
        self._pressure = pressure
        self._making = making
        self._claims = claims
        self._telemetry = telemetry
        self._pressed = Pressed(
            assess=ladder.last_resort, making=making, claims=claims, telemetry=telemetry
        )
        self._encode = msgspec.json.Encoder().encode

    async def decide(
        self,
        attempt: Attempt,
        canonical: bytes,
        *,
        caller: Caller,
        deadline: Deadline,
        deadline_ms: int,
        retry: int = 0,
        trace: Trace | None = None,
    ) -> Decision:
        """Decide one attempt, record the decision, return the answer.

        Args:
            attempt: checked.
            canonical: its canonical bytes.
            caller: whose attempt it is.
            deadline: when the answer must be there.
            deadline_ms: the deadline's whole length, for the record.
            retry: how often the caller tried before.
            trace: of the caller, for the record and our span of it.

        Raises:
            Conflict: the attempt id was used before, for another body.
        """
        candidate = self._making.candidate(attempt, caller.tenant, retry)
        identity = body_hash(canonical)
        asked = Asked(
            candidate=candidate,
            canonical=canonical,
            identity=identity,
            deadline=deadline,
            deadline_ms=deadline_ms,
            trace=trace,
        )
        highest = self._pressure.highest()
        if highest is RungName.TIER_DEFAULT and not retry:
            return await self._pressed.decide(asked)
        claiming = self._claims.claim(caller.tenant, attempt.attempt_id, identity)
        descent = await self._ladder.assess(
            candidate, deadline, highest=highest, because=Reason.PRESSURE
        )
        if (before := await self._decided_before(claiming, deadline)) is not None:
            return before
        made = self._making.weighed(asked, descent)
        answer = self._making.answer(made)
        self._making.keep(made, answer)
        self._claims.settle(caller.tenant, attempt.attempt_id, identity, self._encode(answer))
        return answer

    async def _decided_before(
        self, claiming: asyncio.Future[Claim], deadline: Deadline
    ) -> Decision | None:
        """The answer to an earlier sending of the same attempt."""
        if not claiming.done():
            await asyncio.wait([claiming], timeout=deadline.share(CLAIM_MS_MAX, KEEP_MS) / 1_000)
        claim = claiming.result() if claiming.done() else Claim(ClaimState.UNKNOWN)
        return answered_before(claim, self._telemetry)
