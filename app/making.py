"""What becomes of an assessment: the action by policy, the answer, the record. All of it at once.

    Descent -> Made -> Decision -> journal, followers

Nothing here waits and nothing fails: a bug is logged and counted, and costs accuracy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from app.api.wire import Attempt, Decision
from app.candidate import Candidate, entity_ids
from app.event_time import EventTime
from app.features.directory import Directory, MerchantEntry
from app.features.spec import Entity
from app.features.vector import Row
from app.models.scorer import ModelScore
from app.money import Rates
from app.policy import Policy
from app.record.decision import Encoded, encode
from app.record.made import Asked, Made, Versions
from app.record.reasons import MODEL_RISK
from app.record.recorder import Recorder
from app.record.token import TokenSigner
from app.rule_inputs import rule_inputs
from app.stand_in import StandIn
from app.telemetry import Telemetry
from app.verdict import act, instead_of_approval
from fallback.brake import BrakeKind, VelocityBrake
from fallback.ladder import Descent
from fallback.rules import RuleSet
from fallback.rung import Action, Reason

__all__ = ["Follower", "InForce", "Making"]

log = logging.getLogger(__name__)

_BRAKED = (
    (Entity.CARD, BrakeKind.CARD),
    (Entity.DEVICE, BrakeKind.DEVICE),
    (Entity.IP, BrakeKind.IP),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is in force now; each may change between two decisions."""

    policy: Callable[[], Policy]
    rates: Callable[[], Rates]
    rules: Callable[[], RuleSet | None]
    directory: Callable[[], Directory | None]
    versions: Callable[[], Versions]


class Follower(Protocol):
    """What is told of every decision that was made and recorded; it must not wait."""

    def decided(self, made: Made, answer: Decision) -> None:
        """A decision was made."""
        ...


class Making:
    """Makes answers of assessments, and records them."""

    def __init__(
        self,
        *,
        region: str,
        in_force: InForce,
        brake: VelocityBrake,
        stand_in: StandIn | None,
        last_resort: Callable[[Candidate, Reason], Descent],
        recorder: Recorder,
        signer: TokenSigner,
        telemetry: Telemetry,
        followers: Sequence[Follower],
        time: EventTime,
    ) -> None:
        """Take what answers are made by.

        Args:
            region: that answers.
            in_force: what is in force.
            brake: counts attempts of this process.
            stand_in: bounds what lower rungs approve; None for no bound.
            last_resort: the last rung of the ladder, which cannot fail.
            recorder: of this process.
            signer: of answers.
            telemetry: where bugs are counted.
            followers: told of every answer.
            time: says what now is.
        """
        self._region = region
        self._in_force = in_force
        self._brake = brake
        self._stand_in = stand_in
        self._last_resort = last_resort
        self._recorder = recorder
        self._signer = signer
        self._telemetry = telemetry
        self._followers = tuple(followers)
        self._time = time

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
                for entity, kind in _BRAKED
                if entity in ids
            },
            retry=retry,
        )

    def weighed(self, assessed: Sequence[tuple[Asked, Descent]]) -> list[Made | Exception]:
        """Act on assessments; approvals take from the stand-in budget, together.

        Returns:
            In order, what was made of each, or what went wrong with it and with no other.
        """
        policy, versions = self._in_force.policy(), self._in_force.versions()
        made = [self._weighed(asked, descent, policy, versions) for asked, descent in assessed]
        self._withhold(made, policy)
        return made

    def answer(self, made: Made) -> Decision:
        """The answer, signed."""
        return made.answer(
            decision_id=self._recorder.new_id(self._time.now_ms()),
            region=self._region,
            signer=self._signer,
        )

    def keep(self, decided: Sequence[tuple[Made, Decision]]) -> None:
        """Record answers, together, and tell whoever follows of each."""
        records = []
        for made, answer in decided:
            try:
                record = made.record(answer)
                records.append(Encoded(record.received_ms, encode(record)))
            except Exception as error:  # noqa: BLE001 - see `bug`
                self.bug("record", error)
        try:
            if records:
                self._recorder.write(records)
        except Exception as error:  # noqa: BLE001 - see `bug`
            self.bug("record", error)
        for follower in self._followers:
            for made, answer in decided:
                try:
                    follower.decided(made, answer)
                except Exception as error:  # noqa: BLE001 - see `bug`
                    self.bug(type(follower).__name__.lower(), error)

    def bug(self, where: str, error: Exception) -> None:
        """What nobody expected is logged and counted; it costs accuracy, never the answer."""
        log.error("bug in %s", where, exc_info=error)
        self._telemetry.count("bugs", where)

    def _merchant(self, tenant: str, merchant_id: str) -> MerchantEntry | None:
        """The directory's entry; a directory that cannot be read is as good as none."""
        directory = self._in_force.directory()
        if directory is None:
            return None
        try:
            return directory.get(tenant, merchant_id)
        except Exception as error:  # noqa: BLE001 - see `bug`
            self.bug("directory", error)
            return None

    def _weighed(
        self, asked: Asked, descent: Descent, policy: Policy, versions: Versions
    ) -> Made | Exception:
        """Act on an assessment; on the last rung's where that cannot be done."""
        try:
            return self._weigh(asked, descent, policy, versions)
        except Exception as error:  # noqa: BLE001 - see `bug`
            self.bug("policy", error)
        try:
            last = self._last_resort(asked.candidate, Reason.BUG)
            return self._weigh(asked, last, policy, versions)
        except Exception as error:  # noqa: BLE001 - handed to the one who waits
            return error

    def _weigh(self, asked: Asked, descent: Descent, policy: Policy, versions: Versions) -> Made:
        candidate, assessment = asked.candidate, descent.assessment
        action, thresholds = act(candidate, assessment, policy)
        row, scored = assessment.detail.get("row"), assessment.detail.get("scored")
        return Made(
            asked=asked,
            descent=descent,
            action=action,
            thresholds=thresholds,
            reasons=self._reasons(candidate, descent, action, policy),
            versions=versions,
            row=row if isinstance(row, Row) else None,
            scored=scored if isinstance(scored, ModelScore) else None,
        )

    def _withhold(self, made: list[Made | Exception], policy: Policy) -> None:
        """Put something else in the place of approvals that there is no room for."""
        if self._stand_in is None:
            return
        approvals = [
            (at, one)
            for at, one in enumerate(made)
            if isinstance(one, Made) and one.action is Action.APPROVE
        ]
        codes = self._stand_in.withheld(
            [(one.asked.candidate, one.descent.rung) for _, one in approvals], policy
        )
        for (at, one), code in zip(approvals, codes, strict=True):
            if code is not None:
                made[at] = msgspec.structs.replace(
                    one,
                    action=instead_of_approval(one.asked.candidate),
                    reasons=[code, *one.reasons],
                    withheld=code,
                )

    def _reasons(
        self, candidate: Candidate, descent: Descent, action: Action, policy: Policy
    ) -> list[str]:
        """Codes, strongest first. A model's refusal is joined by the rules that say the same."""
        if descent.assessment.score is None:
            return list(descent.assessment.reason_codes)
        if action is Action.APPROVE:
            return []
        rules = self._in_force.rules()
        if rules is None:
            return [MODEL_RISK]
        inputs = rule_inputs(candidate, policy)
        return [MODEL_RISK, *rules.evaluate(inputs).reasons]
