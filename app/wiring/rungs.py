"""The ladder that live traffic meets, and twins of its lower rungs for the background.

A twin has breakers, batches and listeners of its own, so that nothing of live traffic is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from app.background import Background, skipped_into
from app.candidate import Candidate
from app.features.online import OnlineStore, Source
from app.features.vector import BatchFeatures, FullFeatures, Row
from app.models.artifact import Artifact
from app.models.scorer import ModelScorer
from app.rule_inputs import rule_inputs
from app.shadow import Shadow
from app.verdict import standing_facts
from app.wiring.followed import Followed
from app.wiring.shared import Shared
from app.wiring.weakened import NoRung
from fallback.breaker import BreakerPolicy
from fallback.events import Listener, ignore
from fallback.ladder import Ladder, Step
from fallback.pressure import Pressure
from fallback.rung import RungName
from fallback.rungs.rules import RulesRung
from fallback.rungs.scored import ScoredRung
from fallback.rungs.tier_default import TierDefaultRung

__all__ = ["Rungs"]

_MODEL = BreakerPolicy(slow_call_ms=40.0)


class Rungs:
    """Makes rungs and ladders of what one process shares and follows."""

    def __init__(self, shared: Shared, followed: Followed) -> None:
        self._shared = shared
        self._followed = followed
        self._features = shared.settings.feature_set

    def scorers(
        self, name: str, artifact: Callable[[], Artifact | None], told: Listener
    ) -> dict[RungName, ModelScorer]:
        """The two models of an artifact.

        Args:
            name: what their breakers are called by.
            artifact: that is in use.
            told: what the breakers do.
        """
        return {
            rung: ModelScorer(
                rung,
                artifact=artifact,
                breaker=self._shared.breaker(f"{name}:{rung}", _MODEL, told),
            )
            for rung in (RungName.FULL, RungName.BATCH)
        }

    def ladder(
        self, sources: Sequence[Source], scorers: dict[RungName, ModelScorer]
    ) -> Ladder[Candidate]:
        """The ladder of live traffic.

        Args:
            sources: of counters.
            scorers: of the model in force.
        """
        batch = self._batch_features()
        full = Step(rung=self._full_rung(batch, sources, scorers[RungName.FULL]), needed_ms=8.0)
        lower = [self._batch_step(batch, scorers[RungName.BATCH]), self._rules_step()]
        alone = self._shared.settings.weakened == "lower-rungs"
        return Ladder(
            [full] if alone else [full, *lower],
            NoRung() if alone else self._last_rung(),
            clock=self._shared.clock,
            listener=self._shared.telemetry.on_event,
            reserve_ms=10.0,
        )

    def background(self, pressure: Pressure) -> Background | None:
        """Rungs as live traffic has them, with breakers, batches and listeners of their own."""
        shared, followed = self._shared, self._followed
        if not shared.settings.background_share:
            return None
        batch = self._batch_features()
        scorers = self.scorers("background", followed.artifact, ignore)
        ladder = partial(
            Ladder[Candidate],
            last=self._last_rung(),
            clock=shared.clock,
            listener=skipped_into(shared.telemetry),
        )
        return Background(
            {
                RungName.BATCH: ladder([self._batch_step(batch, scorers[RungName.BATCH])]),
                RungName.RULES: ladder([self._rules_step()]),
                RungName.TIER_DEFAULT: ladder([]),
            },
            self._shadow(batch),
            share=shared.settings.background_share,
            pressure=pressure,
            policy=followed.policy,
            telemetry=shared.telemetry,
            clock=shared.clock,
            rng=shared.rng,
        )

    def _shadow(self, batch: BatchFeatures) -> Shadow:
        model = self._followed.shadow
        return Shadow(
            model, scorers=self.scorers("shadow", lambda: model.value, ignore), batch=batch
        )

    def _batch_features(self) -> BatchFeatures:
        snapshot = self._followed.snapshot
        return BatchFeatures(
            lambda: snapshot.value,
            features=self._features,
            now_ms=self._shared.time.now_ms,
            age_max_ms=self._followed.snapshot_age_max_ms(),
        )

    def _full_rung(
        self, batch: BatchFeatures, sources: Sequence[Source], scorer: ModelScorer
    ) -> ScoredRung[Candidate, Row]:
        time = self._shared.time
        store = OnlineStore(
            sources,
            features=self._features,
            now_ms=time.now_ms,
            age_max_ms=self._shared.settings.counters_age_max_ms,
        )
        features = FullFeatures(
            batch,
            store,
            features=self._features,
            masked=self._followed.masked,
            as_of_ms=time.as_of_ms,
        )
        return ScoredRung(RungName.FULL, features=features, scorer=scorer)

    def _batch_step(self, features: BatchFeatures, scorer: ModelScorer) -> Step[Candidate]:
        rung: ScoredRung[Candidate, Row] = ScoredRung(
            RungName.BATCH, features=features, scorer=scorer
        )
        return Step(rung=rung, needed_ms=3.0)

    def _rules_step(self) -> Step[Candidate]:
        policy = self._followed.policy
        rung: RulesRung[Candidate] = RulesRung(
            rules=self._followed.rules,
            inputs_of=lambda candidate: rule_inputs(candidate, policy()),
        )
        return Step(rung=rung, needed_ms=0.5)

    def _last_rung(self) -> TierDefaultRung[Candidate]:
        policy = self._followed.policy
        return TierDefaultRung(standing=lambda: policy().standing, facts_of=standing_facts)
