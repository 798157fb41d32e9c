"""A decision that was made, as the caller sees it and as the journal keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import msgspec

from app.api.wire import Decision, Model, ThresholdsShown
from app.candidate import Candidate
from app.features.online import Streaming
from app.features.packed import distinct_bit
from app.features.spec import FeatureSet
from app.features.vector import Row
from app.models.scorer import ModelScore
from app.policy import Thresholds
from app.record.decision import DecisionRecord
from app.record.reasons import described
from app.record.token import Claims, TokenSigner
from app.tracing import Trace
from fallback.deadline import Deadline
from fallback.ladder import Descent
from fallback.rung import Action, Reason, RungName

__all__ = ["Answered", "Asked", "Made", "Versions"]

TOKEN_LIFE_S = 24 * 3_600
# Of enumerations: `value` is a call into Python.
_WORDS: Mapping[str, Any] = {
    word: word.value for kind in (Action, RungName, Reason) for word in kind
}


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What was in force.

    Attributes:
        policy: version of the policy, as answered.
        rates: version of the rate table.
        features: what is counted.
        recorded: by what it is of, the identity of all that replay needs beside the model and
            the snapshot; nothing for what was not there.
    """

    policy: int
    rates: str
    features: FeatureSet
    recorded: Mapping[str, str]


class Answered(NamedTuple):
    """An answer, and its JSON."""

    answer: Decision
    body: bytes


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is to be decided.

    Attributes:
        candidate: the attempt.
        canonical: its canonical bytes.
        identity: their hash (`body_hash`).
        deadline: when the answer must be there.
        deadline_ms: the deadline's whole length, for the record.
        trace: of the caller, for the record and our span of it.
        told: is told what came of it, once.
    """

    candidate: Candidate
    canonical: bytes
    identity: bytes
    deadline: Deadline
    deadline_ms: int
    trace: Trace | None = None
    told: Callable[[Answered | Exception], None]


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that went into one decision.

    Attributes:
        asked: the attempt.
        descent: what the ladder said.
        action: what to do.
        thresholds: as applied; None where the rung itself decided.
        reasons: codes, strongest first.
        withheld: the code for which an approval was withheld; None where none was.
        versions: what was in force.
        row: that was scored; None where none was.
        scored: what the model made of it.
    """

    asked: Asked
    descent: Descent
    action: Action
    thresholds: Thresholds | None
    reasons: Sequence[str]
    versions: Versions
    row: Row | None = None
    scored: ModelScore | None = None
    withheld: str | None = None

    def answer(self, *, decision_id: str, region: str, signer: TokenSigner) -> Decision:
        """The answer to the caller."""
        streaming, scored, thresholds = self._streaming, self.scored, self.thresholds
        candidate, descent, action = self.asked.candidate, self.descent, _WORDS[self.action]
        attempt_id, received_ms = candidate.attempt.attempt_id, candidate.received_ms
        return Decision(
            decision_id=decision_id,
            attempt_id=attempt_id,
            action=action,
            score=descent.assessment.score,
            rung=_WORDS[descent.rung],
            not_higher={_WORDS[rung]: _WORDS[why] for rung, why in descent.not_higher.items()},
            reasons=described(self.reasons),
            thresholds=None
            if thresholds is None
            else ThresholdsShown(step_up=thresholds.step_up, decline=thresholds.decline),
            model=None if scored is None else _model(scored),
            policy_version=self.versions.policy,
            region=region,
            as_of=_instant(received_ms if streaming is None else streaming.as_of_ms),
            feature_age_ms=None if streaming is None else streaming.age_ms,
            took_ms=round(self.asked.deadline.elapsed_ms(), 3),
            token=signer.sign(
                Claims(
                    decision_id,
                    attempt_id,
                    self.asked.identity,
                    action,
                    received_ms // 1_000 + TOKEN_LIFE_S,
                ),
                tenant=candidate.tenant,
            ),
        )

    def record(self, answer: Decision) -> DecisionRecord:
        """What the journal keeps: enough to show, count and compute the decision again."""
        asked, streaming, row, scored = self.asked, self._streaming, self.row, self.scored
        candidate = asked.candidate
        ids, features = candidate.ids, self.versions.features
        versions = self.versions.recorded
        if row is not None:
            versions = {**versions, "snapshot": row.snapshot_version}
        if scored is not None:
            versions = {**versions, "evaluator": scored.evaluator}
        return DecisionRecord(
            tenant=candidate.tenant,
            decision_id=answer.decision_id,
            attempt_id=answer.attempt_id,
            received_ms=candidate.received_ms,
            as_of_ms=candidate.received_ms if streaming is None else streaming.as_of_ms,
            request=asked.canonical,
            amount_ref=candidate.amount_ref or 0,
            rates=None if candidate.amount_ref is None else self.versions.rates,
            entities=cast("Mapping[str, str]", ids),  # an entity is its name
            bits={e: distinct_bit(ids[e]) for e in features.told_apart if e in ids},
            merchant=_merchant(candidate),
            large=row is not None and row.large,
            action=answer.action,
            score=answer.score,
            ranking=self.descent.assessment.ranking,
            rung=answer.rung,
            not_higher=answer.not_higher,
            reasons=list(self.reasons),
            withheld=self.withheld,
            thresholds=None
            if answer.thresholds is None
            else (answer.thresholds.step_up, answer.thresholds.decline),
            model=answer.model,
            versions=versions,
            velocity=cast("Mapping[str, int]", candidate.velocity),
            retry=candidate.retry,
            raw_score=None if scored is None else scored.raw,
            numbers=b"" if row is None else row.numbers.tobytes(),
            categories=[] if row is None else row.categories,
            positions={} if streaming is None else streaming.positions,
            feature_age_ms=answer.feature_age_ms,
            deadline_ms=asked.deadline_ms,
            took_ms=answer.took_ms,
            trace_id=None if asked.trace is None else asked.trace.id,
        )

    @property
    def _streaming(self) -> Streaming | None:
        return None if self.row is None else self.row.streaming


def _merchant(candidate: Candidate) -> dict[str, Any]:
    entry = candidate.merchant
    return {"tier": candidate.tier} if entry is None else entry.as_recorded()


def _model(scored: ModelScore) -> Model:
    artifact = scored.artifact
    return Model(
        name=artifact.facts.name, version=artifact.version, provenance=artifact.facts.provenance
    )


@lru_cache(maxsize=64)  # those that were read together are of one instant
def _instant(unix_ms: int) -> str:
    text = datetime.fromtimestamp(unix_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
