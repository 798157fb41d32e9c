"""Computes a decision again from its record: same score to the bit, same action.

What was read from outside is in the record (inputs as scored, merchant entry, velocity); what it
was made by is kept by identity (models as versions, policy and rules in the archive). Whether the
stand-in budget had room is what other attempts had left of it, so that is taken from the record;
that there was an approval to withhold is computed. Bits agree on the same evaluator and
architecture.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from app.api.wire import CLIENT_DEFAULT, Attempt
from app.candidate import Candidate
from app.errors import OperatorError
from app.features.directory import MerchantEntry
from app.features.spec import Entity
from app.models.artifact import Artifact, load_artifact, objects
from app.policy import Policy, load_policy
from app.record.decision import DecisionRecord, decode_record
from app.record.frames import Kind, Record
from app.rule_inputs import rule_inputs
from app.rulebook import load_rules
from app.streams.journal_tail import JournalTail
from app.verdict import act, instead_of_approval, standing_facts
from fallback.rules import RuleSet
from fallback.rung import Action, Assessment, RungName
from fallback.rungs.tier_default import TierDefaultRung

__all__ = ["Replay", "Replayer", "sampled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How a replay compares with the record.

    Attributes:
        decision_id: of the decision.
        rung: that had answered.
        differences: what came out otherwise, "name: recorded -> replayed"; empty when nothing did.
    """

    decision_id: str
    rung: str
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether it came out as recorded."""
        return not self.differences


class Replayer:
    """Replays the decisions of one region, from what its folder keeps."""

    def __init__(self, region_folder: Path) -> None:
        self._models = region_folder / "published" / "model"
        self._archive = region_folder / "archive"
        self._artifact = cache(self._load_artifact)
        self._policy = cache(self._load_policy)
        self._rules = cache(self._load_rules)

    def replay(self, record: DecisionRecord) -> Replay:
        """Compute one decision again.

        Raises:
            OperatorError: something that it was made by is not kept here, or a client made it.
        """
        if record.rung == CLIENT_DEFAULT:
            raise OperatorError(
                f"{record.decision_id} was decided by a client; there is nothing to compute again."
            )
        candidate = _candidate(record)
        policy = self._policy(record.versions["policy"])
        compared: list[tuple[str, object, object]] = []
        match RungName(record.rung):
            case RungName.FULL | RungName.BATCH:
                raw, assessment = self._scored(record)
                compared += [
                    ("raw score", record.raw_score, raw),
                    ("score", record.score, assessment.score),
                ]
            case RungName.RULES:
                assessment = self._ruled(record, candidate, policy)
                withheld = [] if record.withheld is None else [record.withheld]
                codes = [*withheld, *assessment.reason_codes]
                compared.append(("reasons", record.reasons, codes))
            case RungName.TIER_DEFAULT:
                rung: TierDefaultRung[Candidate] = TierDefaultRung(
                    standing=lambda: policy.standing, facts_of=standing_facts
                )
                assessment = rung.assess(candidate)
        action, thresholds = act(candidate, assessment, policy)
        if record.withheld is not None:
            compared.append(("action to withhold", Action.APPROVE.value, action.value))
            action = instead_of_approval(candidate)
        applied = None if thresholds is None else (thresholds.step_up, thresholds.decline)
        compared += [
            ("ranking", record.ranking, assessment.ranking),
            ("thresholds", record.thresholds, applied),
            ("action", record.action, action.value),
        ]
        return Replay(
            decision_id=record.decision_id,
            rung=record.rung,
            differences=tuple(_differences(compared)),
        )

    def _scored(self, record: DecisionRecord) -> tuple[float, Assessment]:
        assert record.model is not None
        artifact = self._artifact(record.model.version)
        model = artifact.full if record.rung == RungName.FULL else artifact.batch
        numbers = np.frombuffer(record.numbers, dtype="<f4").astype(np.float32).reshape(1, -1)
        raw = float(model.raw(numbers, objects([record.categories]))[0])
        score = model.facts.calibration.probability(raw)
        return raw, Assessment(score=score, action=None, ranking=score)

    def _ruled(self, record: DecisionRecord, candidate: Candidate, policy: Policy) -> Assessment:
        fired = self._rules(record.versions["rules"]).evaluate(rule_inputs(candidate, policy))
        return Assessment(
            score=None,
            action=fired.action,
            ranking=fired.ranking,
            reason_codes=fired.reasons,
        )

    def _load_artifact(self, version: str) -> Artifact:
        return load_artifact(self._models, version)

    def _load_policy(self, identity: str) -> Policy:
        return load_policy(self._kept("policy", identity, "policy.yaml"))

    def _load_rules(self, identity: str) -> RuleSet:
        return load_rules(self._kept("rules", identity, "rules.yaml"))

    def _kept(self, kind: str, identity: str, name: str) -> Path:
        path = self._archive / kind / identity / name
        if not path.exists():
            raise OperatorError(f"the {kind} {identity} of that decision is not kept in {path}.")
        return path


def sampled(journal: Path, size: int, *, seed: int = 0) -> list[DecisionRecord]:
    """A uniform sample of a region's own decisions in its journals, in one pass (reservoir).

    Source: Vitter, "Random sampling with a reservoir", 1985, algorithm R.
    """
    rng = random.Random(seed)
    chosen: list[DecisionRecord] = []
    seen = 0
    tail = JournalTail(journal)
    while records := tail.read(1_000):
        for record in records:
            if record.kind is not Kind.DECISION:
                continue
            if CLIENT_DEFAULT.encode() in record.payload and _made_by_client(record):
                continue
            seen += 1
            if len(chosen) < size:
                chosen.append(decode_record(record.payload))
            elif (place := rng.randrange(seen)) < size:
                chosen[place] = decode_record(record.payload)
    return chosen


def _made_by_client(record: Record) -> bool:
    return decode_record(record.payload).rung == CLIENT_DEFAULT


def _candidate(record: DecisionRecord) -> Candidate:
    merchant = record.merchant
    listed = "category" in merchant
    return Candidate(
        attempt=msgspec.json.decode(record.request, type=Attempt),
        tenant=record.tenant,
        received_ms=record.received_ms,
        amount_ref=None if record.rates is None else record.amount_ref,
        merchant=MerchantEntry.from_record(merchant) if listed else None,
        ids={Entity(entity): id for entity, id in record.entities.items()},
        velocity={Entity(entity): count for entity, count in record.velocity.items()},
        retry=record.retry,
    )


def _differences(compared: list[tuple[str, object, object]]) -> Iterator[str]:
    for name, recorded, replayed in compared:
        if recorded != replayed:
            yield f"{name}: {recorded} -> {replayed}"
