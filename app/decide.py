"""The pipeline of a decision, on one page. Attempts that begin together go through it together.

    candidates -> ladder, and beside it the claims on the attempt ids -> policy -> stand-in budget
               -> record -> answers, and whoever follows decisions is told

Nothing here retries, waits for another region or can refuse to answer: what fails is the
ladder's business, and the ladder ends on a rung that cannot fail.

A batch costs one task, one read a source, one write of claims and one call of the model, whatever
its size; what is left of an attempt is what is its own. Attempts that pressure, or their lateness,
sends to the last rung have their answers before their claims, so that the two are one command:

    last rung -> policy, stand-in budget -> claims, with the answers in them -> record -> answers

Only what is sent for the first time goes that way: a repeat says so (`X-Attempt-Retry`) and takes
the one that looks at other regions' claims, too. One that does not say so is found by the region's
own claim.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from app.api.auth import Caller
from app.api.problem import Conflict
from app.api.wire import Attempt
from app.candidate import Candidate
from app.gathering import LATE
from app.making import Making
from app.record.claims import Claim, Claiming, Claims, ClaimState, Entry, Id
from app.record.made import Answered, Asked, Made
from app.record.token import body_hash
from app.repeated import CLAIM_MS_MAX, KEEP_MS, answered_before
from app.telemetry import Telemetry
from app.tracing import Trace
from fallback.deadline import Deadline
from fallback.errors import RequestError
from fallback.ladder import Descent, Ladder
from fallback.pressure import Pressure
from fallback.rung import Reason, RungName

__all__ = ["Decider"]

# Of more that are pressed the first need not wait for the last.
PRESSED_MAX = 64

T = TypeVar("T")


class _Way(NamedTuple):
    """What attempts have in common that go together.

    Attributes:
        highest: the rung that they start from.
        because: why from no higher one.
        retried: whether they were sent before.
        deadline_ms: the whole length of their deadlines: a caller in a hurry cuts nobody's short.
    """

    highest: RungName
    because: Reason
    retried: bool
    deadline_ms: int

    @property
    def pressed(self) -> bool:
        """Whether their answers are there before their claims."""
        return self.highest is RungName.TIER_DEFAULT and not self.retried


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
        self._encode = msgspec.json.Encoder().encode

    def asked(
        self,
        attempt: Attempt,
        canonical: bytes,
        *,
        caller: Caller,
        deadline: Deadline,
        deadline_ms: int,
        told: Callable[[Answered | Exception], None],
        retry: int = 0,
        trace: Trace | None = None,
    ) -> Asked:
        """An attempt that was received, to be decided with others.

        Args:
            attempt: checked.
            canonical: its canonical bytes.
            caller: whose attempt it is.
            deadline: when the answer must be there.
            deadline_ms: the deadline's whole length, for the record.
            told: is told the answer; or `Conflict`, where the attempt id was used before for
                another body.
            retry: how often the caller tried before.
            trace: of the caller, for the record and our span of it.
        """
        return Asked(
            candidate=self._making.candidate(attempt, caller.tenant, retry),
            canonical=canonical,
            identity=body_hash(canonical),
            deadline=deadline,
            deadline_ms=deadline_ms,
            trace=trace,
            told=told,
        )

    async def decide(self, batch: Sequence[Asked], *, behind: int = 0) -> None:
        """Decide attempts that begin together, record the decisions, tell the answers.

        Args:
            batch: those that begin.
            behind: how many others cannot begin yet.
        """
        self._pressure.begin(behind)
        ways: dict[_Way, list[Asked]] = {}
        for asked in batch:
            ways.setdefault(self._way(asked), []).append(asked)
        going = [
            self._going(way, part)
            for way, together in ways.items()
            for part in (_parts(together, PRESSED_MAX) if way.pressed else [together])
        ]
        if len(going) == 1:
            await going[0]
        else:
            await asyncio.gather(*going)

    def _way(self, asked: Asked) -> _Way:
        """How an attempt goes: one that is late with those that are, and makes nobody else late."""
        highest, because = self._pressure.highest(), Reason.PRESSURE
        if asked.deadline.elapsed_ms() > LATE * asked.deadline_ms:
            highest, because = RungName.TIER_DEFAULT, Reason.DEADLINE
        return _Way(highest, because, asked.candidate.retry > 0, asked.deadline_ms)

    async def _going(self, way: _Way, batch: Sequence[Asked]) -> None:
        """Decide attempts that go together; whatever happens, each is told something."""
        results: Sequence[Answered | Exception]
        try:
            results = await (self._pressed if way.pressed else self._assessed)(way, batch)
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            results = [error] * len(batch)
        for asked, result in zip(batch, results, strict=True):
            try:
                asked.told(result)
            except Exception as error:  # noqa: BLE001 - of one who cannot be told, not of the others
                self._making.bug("told", error)

    async def _assessed(self, way: _Way, batch: Sequence[Asked]) -> list[Answered | Exception]:
        """Claim, assess, answer."""
        claiming = self._sent(partial(self._claims.claim_all, list(map(_id, batch))))
        deadline = _earliest(batch)
        descents = await self._descents(batch, deadline, way)
        claims = await self._claimed(claiming, deadline, batch)
        before = list(map(self._before, claims))
        new = [at for at, known in enumerate(before) if known is None]
        made = iter(self._made([(batch[at], descents[at]) for at in new]))
        decided: list[tuple[Made, Answered]] = []
        results: list[Answered | Exception] = []
        for known in before:
            one = next(made) if known is None else known
            if isinstance(one, (Answered, Exception)):
                results.append(one)
                continue
            decided.append(one)
            results.append(one[1])
        self._keep(decided)
        self._sent(
            partial(
                self._claims.settle_all,
                [Entry(_id(made.asked), answered.body) for made, answered in decided],
            )
        )
        return results

    async def _pressed(self, way: _Way, batch: Sequence[Asked]) -> list[Answered | Exception]:
        """Assess on the last rung, answer, claim."""
        deadline = _earliest(batch)
        descents = await self._descents(batch, deadline, way)
        made = self._made(list(zip(batch, descents, strict=True)))
        entries = [
            Entry(_id(one[0].asked), one[1].body) for one in made if not isinstance(one, Exception)
        ]
        if not entries:
            return [one for one in made if isinstance(one, Exception)]
        claiming = self._sent(partial(self._claims.enter_all, entries))
        claims = iter(await self._claimed(claiming, deadline, entries))
        decided: list[tuple[Made, Answered]] = []
        results: list[Answered | Exception] = []
        for one in made:
            if isinstance(one, Exception):
                results.append(one)
                continue
            before = self._before(next(claims))
            if before is None:
                decided.append(one)
            results.append(one[1] if before is None else before)
        self._keep(decided)
        return results

    async def _descents(
        self, batch: Sequence[Asked], deadline: Deadline, way: _Way
    ) -> list[Descent | RequestError]:
        return await self._ladder.assess(
            [one.candidate for one in batch], deadline, highest=way.highest, because=way.because
        )

    def _before(self, claim: Claim) -> Answered | Conflict | None:
        """What there is to say of an attempt that was sent before; None of a new one."""
        try:
            return answered_before(claim, self._telemetry)
        except Conflict as conflict:
            return conflict

    def _keep(self, decided: Sequence[tuple[Made, Answered]]) -> None:
        """Record answers, before anybody is told them."""
        if decided:
            self._making.keep([(made, answered.answer) for made, answered in decided])

    def _made(
        self, assessed: Sequence[tuple[Asked, Descent | RequestError]]
    ) -> list[tuple[Made, Answered] | Exception]:
        """The answers, in order; what goes wrong with one goes wrong with no other."""
        made = iter(
            self._making.weighed(
                [(asked, one) for asked, one in assessed if isinstance(one, Descent)]
            )
        )
        return [
            descent if isinstance(descent, RequestError) else self._answered(next(made))
            for _, descent in assessed
        ]

    def _answered(self, made: Made | Exception) -> tuple[Made, Answered] | Exception:
        if isinstance(made, Exception):
            return made
        try:
            answer = self._making.answer(made)
            return made, Answered(answer, self._encode(answer))
        except Exception as error:  # noqa: BLE001 - handed to the one who waits
            return error

    def _sent(self, send: Callable[[], T]) -> T | None:
        """What was sent to the store of claims; nothing, where a bug is in the way."""
        try:
            return send()
        except Exception as error:  # noqa: BLE001 - costs a duplicate, never the answer
            self._making.bug("claims", error)
            return None

    async def _claimed(
        self, claiming: Claiming | None, deadline: Deadline, of: Sequence[object]
    ) -> list[Claim]:
        """What the claims say; a store that is late has no say, nor has a bug."""
        if claiming is None:
            return [Claim(ClaimState.UNKNOWN)] * len(of)
        try:
            return await claiming.claims(deadline.share(CLAIM_MS_MAX, KEEP_MS))
        except Exception as error:  # noqa: BLE001 - costs a duplicate, never the answer
            self._making.bug("claims", error)
            return [Claim(ClaimState.UNKNOWN)] * len(of)


def _id(asked: Asked) -> Id:
    candidate = asked.candidate
    return Id(candidate.tenant, candidate.attempt.attempt_id, asked.identity)


def _earliest(batch: Sequence[Asked]) -> Deadline:
    return min((one.deadline for one in batch), key=lambda deadline: deadline.expires_s)


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
