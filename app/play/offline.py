"""What a rung would say of the posted attempts, from the history alone."""

from __future__ import annotations

from app.features.spec import FeatureSet
from app.models.artifact import Artifact
from app.models.training.costs import cost_table
from app.models.training.evaluate import lower_rungs, scored
from app.models.training.inputs import inputs_of
from app.play.answers import SCORED, Verdicts
from app.play.script import Script
from app.policy import DEFAULT_POLICY, load_policy
from fallback.rung import RungName

__all__ = ["offline_verdicts"]


def offline_verdicts(
    script: Script, features: FeatureSet, artifact: Artifact, rung: RungName
) -> Verdicts:
    """The verdict on every posted attempt, by the shipped policy and rules.

    Args:
        script: what is played.
        features: what the models see.
        artifact: the models.
        rung: whose verdict.
    """
    history, rows = script.history, script.rows
    verdicts = Verdicts.none(len(history))
    if rung in SCORED:
        model = artifact.full if rung is RungName.FULL else artifact.batch
        costs = cost_table(history, rows, load_policy(DEFAULT_POLICY))
        ranked = scored(model, inputs_of(history, features, attempts=rows), rows, costs)
        verdicts.score[rows] = ranked.probability
    else:
        ranked = lower_rungs(history, features, rows)[rung]
    verdicts.action[rows] = ranked.actions
    return verdicts
