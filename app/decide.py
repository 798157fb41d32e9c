"""The pipeline of one decision, on one page.

    candidate -> ladder, and beside it the claim on the attempt id -> policy -> stand-in budget
              -> record -> answer, and whoever follows decisions is told

Nothing here retries, waits for another region or can refuse to answer: what fails is the
ladder's business, and the ladder ends on a rung that cannot fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from app.api.auth import Caller
from app.api.problem import Conflict
from app.api.wire import Attempt, Decision
from app.candidate import Candidate, entity_ids
from app.event_time import EventTime
from app.features.directory import Directory, MerchantEntry
from app.features.spec import Entity
from app.money import Rates
from app.policy import Policy, Thresholds
from app.record.claims import Claim, Claims, ClaimState
from app.record.made import Made, Versions
from app.record.reasons import MODEL_RISK
from app.record.recorder import Recorder
from app.record.token import TokenSigner, body_hash
from app.rule_inputs import rule_inputs
from app.stand_in import StandIn
from app.telemetry import Telemetry
from app.tracing import Trace
from app.verdict import act, instead_of_approval
from fallback.brake import BrakeKind, VelocityBrake
from fallback.deadline import Deadline
from fallback.ladder import Descent, Ladder
from fallback.pressure import Pressure
from fallback.rules import RuleSet
from fallback.rung import Action, Reason

__all__ = ["Decider", "Follower", "InForce"]

log = logging.getLogger(__name__)

# The claim travels with the counters; where those were not read it may need a moment more.
CLAIM_MS_MAX, KEEP_MS = 30.0, 5.0

_BRAKED = {
    Entity.CARD: BrakeKind.CARD,
    Entity.DEVICE: BrakeKind.DEVICE,
    Entity.IP: BrakeKind.IP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is in force now; each may change between two decisions."""

    policy: Callable[[], Policy]
    rates: Callable[[], Rates]
    rules: Callable[[], RuleSet | None]
    directory: Callable[[], Directory | None]
    versions: Callable[[], Versions]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What comes of an assessment: see `Made`."""

    action: Action
    thresholds: Thresholds | None
    reasons: list[str]
    withheld: str | None


class Follower(Protocol):
    """What is told of every decision that was made and recorded; it must not wait."""

    def decided(self, made: Made, answer: Decision) -> None:
        """A decision was made."""
        ...


class Decider:
    """Decides payment attempts in one process."""

    def __init__(
        self,
        *,
        region: str,
        ladder: Ladder[Candidate],
        pressure: Pressure,
        in_force: InForce,
        brake: VelocityBrake,
        claims: Claims,
        stand_in: StandIn | None,
        recorder: Recorder,
        signer: TokenSigner,
        telemetry: Telemetry,
        followers: Sequence[Follower],
        time: EventTime,
    ) -> None:
        self._region = region
        self._ladder = ladder
        self._pressure = pressure
        self._in_force = in_force
        self._brake = brake
        self._claims = claims
        self._stand_in = stand_in
        self._recorder = recorder
        self._signer = signer
        self._telemetry = telemetry
        self._followers = tuple(followers)
        self._time = time
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Decision).decode

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
        candidate = self.candidate(attempt, caller.tenant, retry)
        identity = body_hash(canonical)
        claiming = self._claims.claim(caller.tenant, attempt.attempt_id, identity)
        descent = await self._ladder.assess(
            candidate, deadline, highest=self._pressure.highest(), because=Reason.PRESSURE
        )
        if (before := await self._decided_before(claiming, deadline)) is not None:
            return before
        try:
            weighed = self._weigh(candidate, descent)
        except Exception as error:  # noqa: BLE001 - see `_bug`
            self._bug("policy", error)
            descent = self._ladder.last_resort(candidate)
            weighed = self._weigh(candidate, descent)
        made = Made(
            candidate=candidate,
            canonical=canonical,
            identity=identity,
            descent=descent,
            action=weighed.action,
            thresholds=weighed.thresholds,
            reasons=weighed.reasons,
            withheld=weighed.withheld,
            versions=self._in_force.versions(),
            deadline_ms=deadline_ms,
            trace=trace,
        )
        answer = made.answer(
            decision_id=self._recorder.new_id(self._time.now_ms()),
            region=self._region,
            took_ms=deadline.elapsed_ms(),
            signer=self._signer,
        )
        try:
            self._recorder.write(made.record(answer))
        except Exception as error:  # noqa: BLE001 - see `_bug`
            self._bug("record", error)
        self._claims.settle(caller.tenant, attempt.attempt_id, identity, self._encode(answer))
        for follower in self._followers:
            try:
                follower.decided(made, answer)
            except Exception as error:  # noqa: BLE001 - see `_bug`
                self._bug(type(follower).__name__.lower(), error)
        return answer

    def candidate(self, attempt: Attempt, tenant: str, retry: int = 0) -> Candidate:
        """The attempt with everything known about it without asking anyone."""
        ids = entity_ids(attempt)
        return Candidate(
            attempt=attempt,
            tenant=tenant,
            received_ms=self._time.received_ms(attempt.occurred_at),
            amount_ref=self._in_force.rates().to_reference(attempt.amount),
            merchant=self._merchant(tenant, attempt.merchant.id),
            ids=ids,
            velocity={
                entity: self._brake.hit(kind, f"{tenant}:{ids[entity]}")
                for entity, kind in _BRAKED.items()
                if entity in ids
            },
            retry=retry,
        )

    async def _decided_before(
        self, claiming: asyncio.Future[Claim], deadline: Deadline
    ) -> Decision | None:
        """The answer to an earlier sending of the same attempt."""
        if not claiming.done():
            await asyncio.wait([claiming], timeout=deadline.share(CLAIM_MS_MAX, KEEP_MS) / 1_000)
        claim = claiming.result() if claiming.done() else Claim(ClaimState.UNKNOWN)
        if claim.state is not ClaimState.NEW:
            self._telemetry.count("claims", claim.state)
        if claim.state is ClaimState.OTHER_BODY:
            raise Conflict("This attempt_id was sent before with another body.")
        if claim.answer is None:
            return None
        try:
            return self._decode(claim.answer)
        except msgspec.MsgspecError:  # of a release with another answer: decided anew
            return None

    def _merchant(self, tenant: str, merchant_id: str) -> MerchantEntry | None:
        """The directory's entry; a directory that cannot be read is as good as none."""
        directory = self._in_force.directory()
        if directory is None:
            return None
        try:
            return directory.get(tenant, merchant_id)
        except Exception as error:  # noqa: BLE001 - see `_bug`
            self._bug("directory", error)
            return None

    def _weigh(self, candidate: Candidate, descent: Descent) -> _Weighed:
        """What to do about what the ladder said; an approval takes from the stand-in budget."""
        policy = self._in_force.policy()
        action, thresholds = act(candidate, descent.assessment, policy)
        reasons = self._reasons(candidate, descent, action)
        withheld = None
        if action is Action.APPROVE and self._stand_in is not None:
            withheld = self._stand_in.withheld(candidate, descent.rung, policy)
        if withheld is not None:
            action, reasons = instead_of_approval(candidate), [withheld, *reasons]
        return _Weighed(action, thresholds, reasons, withheld)

    def _reasons(self, candidate: Candidate, descent: Descent, action: Action) -> list[str]:
        """Codes, strongest first. A model's refusal is joined by the rules that say the same."""
        if descent.assessment.score is None:
            return list(descent.assessment.reason_codes)
        if action is Action.APPROVE:
            return []
        rules = self._in_force.rules()
        if rules is None:
            return [MODEL_RISK]
        inputs = rule_inputs(candidate, self._in_force.policy())
        return [MODEL_RISK, *rules.evaluate(inputs).reasons]

    def _bug(self, where: str, error: Exception) -> None:
        """What nobody expected is logged and counted; it costs accuracy, never the answer."""
        log.error("bug in %s", where, exc_info=error)
        self._telemetry.count("bugs", where)
