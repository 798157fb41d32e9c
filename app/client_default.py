"""What clients decided by themselves while no region answered them, entered afterwards.

A stand-in becomes a decision record of the rung `client_default`, so that counters, history and
labels find the attempt as any other. It is received when it is posted, as windows run on receipt;
the record says when the client decided. Whether an attempt was posted before, or decided by this
region without its answer reaching the client, is known by the claim on its id:

    never seen              recorded
    posted back before      said to be a duplicate, nothing added
    decided by this region  recorded, and the region's own decision is superseded
    another body            409
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import msgspec

from app.api.problem import Conflict, NotTaken
from app.api.wire import CLIENT_DEFAULT, Accepted, Attempt, Decision, Outcome, StandIn
from app.candidate import Candidate, entity_ids
from app.event_time import EventTime, instant_ms
from app.features.directory import MerchantEntry
from app.features.packed import distinct_bit
from app.money import Rates
from app.policy import Policy
from app.record.claims import Claims, ClaimState
from app.record.decision import DecisionRecord, encode
from app.record.frames import Kind
from app.record.intake import Intake
from app.record.made import Versions
from app.record.reasons import described
from app.record.recorder import Recorder
from app.record.token import Claims as TokenClaims
from app.record.token import TokenSigner, body_hash
from app.telemetry import Telemetry
from app.verdict import priced

__all__ = ["ClientDecisions"]

TOKEN_LIFE_S = 24 * 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDecisions:
    """Takes stand-ins in one process.

    Attributes:
        region: name of this region.
        claims: on attempt ids, the same that decisions make.
        intake: of outcomes, for what is superseded.
        recorder: of this process.
        policy: in force.
        rates: in force.
        versions: in force.
        merchant: the directory's entry by tenant and merchant.
        signer: of answers to those who ask for the attempt again.
        telemetry: counts them by action.
        time: of receipts.
    """

    region: str
    claims: Claims
    intake: Intake
    recorder: Recorder
    policy: Callable[[], Policy]
    rates: Callable[[], Rates]
    versions: Callable[[], Versions]
    merchant: Callable[[str, str], MerchantEntry | None]
    signer: TokenSigner
    telemetry: Telemetry
    time: EventTime

    async def take(self, stand_in: StandIn, canonical: bytes, *, tenant: str) -> Accepted:
        """Enter one.

        Args:
            stand_in: checked.
            canonical: canonical bytes of its attempt.
            tenant: whose it is.

        Raises:
            Conflict: the attempt id was used before, for another body.
            NotTaken: the journal takes nothing; the sender must send it again.
        """
        attempt_id = stand_in.attempt.attempt_id
        identity = body_hash(canonical)
        claim = await self.claims.claim(tenant, attempt_id, identity)
        if claim.state is ClaimState.OTHER_BODY:
            raise Conflict("This attempt_id was sent before with another body.")
        before = _decision(claim.answer)
        known = before is not None and before.rung == CLIENT_DEFAULT
        if not known:
            answer = self._record(stand_in, canonical, tenant)
            self.claims.settle(tenant, attempt_id, identity, msgspec.json.encode(answer))
            self.telemetry.count("client_defaults", stand_in.action)
            if before is not None:
                await self._supersede(before, tenant)
        return Accepted(id=attempt_id, duplicate=known, home_region=self.region)

    def _record(self, stand_in: StandIn, canonical: bytes, tenant: str) -> Decision:
        """Into the journal, and what this region says of the attempt from now on."""
        candidate = self._candidate(stand_in.attempt, tenant)
        decision_id = self.recorder.new_id(self.time.now_ms())
        record = self._as_record(stand_in, canonical, candidate, decision_id)
        # Not `write`: what is refused here is sent again, and no gap in the chain.
        if not self.recorder.append(Kind.DECISION, encode(record)):
            raise NotTaken(
                "The journal takes nothing now; send it again.", headers=[(b"retry-after", b"5")]
            )
        claims = TokenClaims(
            decision_id,
            record.attempt_id,
            body_hash(canonical),
            record.action,
            record.received_ms // 1_000 + TOKEN_LIFE_S,
        )
        return Decision(
            decision_id=decision_id,
            attempt_id=record.attempt_id,
            action=stand_in.action,
            score=None,
            rung=CLIENT_DEFAULT,
            not_higher={},
            reasons=described(record.reasons),
            thresholds=None,
            model=None,
            policy_version=stand_in.policy_version,
            region=self.region,
            as_of=datetime.fromtimestamp(record.received_ms / 1_000, UTC).isoformat(),
            feature_age_ms=None,
            took_ms=0.0,
            token=self.signer.sign(claims, tenant=tenant),
        )

    def _as_record(
        self, stand_in: StandIn, canonical: bytes, candidate: Candidate, decision_id: str
    ) -> DecisionRecord:
        versions, ids, entry = self.versions(), candidate.ids, candidate.merchant
        policy = self.policy()
        return DecisionRecord(
            tenant=candidate.tenant,
            decision_id=decision_id,
            attempt_id=stand_in.attempt.attempt_id,
            received_ms=candidate.received_ms,
            as_of_ms=candidate.received_ms,
            request=canonical,
            amount_ref=candidate.amount_ref or 0,
            rates=None if candidate.amount_ref is None else versions.rates,
            entities=cast("Mapping[str, str]", ids),  # an entity is its name
            bits={e: distinct_bit(ids[e]) for e in versions.features.told_apart if e in ids},
            merchant={"tier": candidate.tier} if entry is None else entry.as_recorded(),
            action=stand_in.action,
            # As the standing policy of a region ranks, which it stood in for.
            ranking=priced(candidate, policy) / policy.tier(candidate.tier).amount_high,
            rung=CLIENT_DEFAULT,
            not_higher={},
            reasons=list(stand_in.reasons),
            versions={"features": versions.recorded["features"]},
            deadline_ms=0,
            took_ms=0.0,
            client_decided_ms=instant_ms(stand_in.decided_at),
        )

    def _candidate(self, attempt: Attempt, tenant: str) -> Candidate:
        return Candidate(
            attempt=attempt,
            tenant=tenant,
            received_ms=self.time.received_ms(attempt.occurred_at),
            amount_ref=self.rates().to_reference(attempt.amount),
            merchant=self.merchant(tenant, attempt.merchant.id),
            ids=entity_ids(attempt),
            velocity={},
        )

    async def _supersede(self, before: Decision, tenant: str) -> None:
        """Withdraw this region's own decision, whose answer did not get to the client."""
        outcome = Outcome(
            outcome_id=f"stand-in-{before.decision_id.removeprefix('dec_')}",
            kind="superseded",
            occurred_at=before.as_of,
            decision_id=before.decision_id,
        )
        await self.intake.take(
            Kind.OUTCOME,
            tenant=tenant,
            id=outcome.outcome_id,
            decision_id=before.decision_id,
            attempt_id=None,
            canonical=msgspec.json.encode(outcome),
        )


def _decision(answer: bytes | None) -> Decision | None:
    """The answer behind a claim; one of another release is as good as none."""
    try:
        return None if answer is None else msgspec.json.decode(answer, type=Decision)
    except msgspec.MsgspecError:
        return None
