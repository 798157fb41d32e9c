"""Every rung on the same attempts: what stepping down costs in accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from app.api.wire import Attempt
from app.candidate import Candidate, entity_ids
from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity, FeatureSet
from app.models.artifact import Artifact, RungModel
from app.models.training.history import History, ids_of
from app.models.training.inputs import Table, hot_merchants
from app.models.training.metrics import rank_metrics
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.rule_inputs import rule_inputs
from app.rulebook import DEFAULT_RULES, load_rules
from fallback.brake import BrakeKind, VelocityBrake
from fallback.clock import ManualClock

__all__ = ["evaluate", "rule_rankings", "test_rows"]

TEST_DAYS = 7

Float64s = npt.NDArray[np.float64]


def test_rows(history: History) -> Int64s:
    """Rows of the last week: never trained on, and a label delay behind what was."""
    return np.flatnonzero(history.received_ms >= history.end_ms - TEST_DAYS * DAY_MS)


def evaluate(
    history: History,
    table: Table,
    artifact: Artifact,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Mapping[str, Mapping[str, float]]:
    """Metrics of each rung on the last week.

    Args:
        history: all attempts.
        table: their inputs.
        artifact: the models.
        report: told the share done and what is being done.

    Returns:
        By rung name the metrics of `rank_metrics`; beside the four rungs "request" would belong
        to a model of request attributes alone, which is why there is none.
    """
    rows = test_rows(history)
    report(0.1, "scoring the last week")
    rankings = {
        "full": _scores(artifact.full, table.take(rows)),
        "batch": _scores(artifact.batch, table.take(rows)),
        "rules": rule_rankings(
            history, table.features, rows, lambda s: report(0.2 + 0.7 * s, "rules")
        ),
        "tier_default": history.amount_ref[rows].astype(np.float64),
    }
    report(0.95, "metrics")
    card = ids_of(history, Entity.CARD).code[rows]
    return {
        rung: rank_metrics(ranking, history.fraud[rows], day=history.day[rows], card=card)
        for rung, ranking in rankings.items()
    }


def rule_rankings(
    history: History,
    features: FeatureSet,
    rows: Int64s,
    report: Callable[[float], None] = lambda _share: None,
) -> Float64s:
    """How the shipped rules rank attempts, each day with the hot list of its own midnight."""
    rates, policy = load_rates(DEFAULT_RATES), load_policy(DEFAULT_POLICY)
    clock = ManualClock()
    brake = VelocityBrake(clock=clock)
    days = history.day[rows]
    rankings = []
    for day in np.unique(days):
        today = history.take(rows[days == day])
        with tempfile.TemporaryDirectory() as lists:
            hot = hot_merchants(history, features, int(day) * DAY_MS)
            (Path(lists) / "hot_merchants.txt").write_text("\n".join(hot), encoding="utf-8")
            rules = load_rules(DEFAULT_RULES, Path(lists))
        for at, document in enumerate(today.documents()):
            attempt = msgspec.convert(document, Attempt)
            received_ms = int(today.received_ms[at])
            clock.advance(max(0.0, received_ms / 1_000 - clock.monotonic()))
            ids = entity_ids(attempt)
            candidate = Candidate(
                attempt=attempt,
                tenant="",
                received_ms=received_ms,
                amount_ref=rates.to_reference(attempt.amount),
                merchant=history.merchants.get(attempt.merchant.id),
                ids=ids,
                velocity={
                    Entity(kind.value): brake.hit(kind, ids[Entity(kind.value)])
                    for kind in BrakeKind
                    if Entity(kind.value) in ids
                },
            )
            rankings.append(rules.evaluate(rule_inputs(candidate, policy)).ranking)
        report(len(rankings) / len(rows))
    return np.array(rankings)


def _scores(model: RungModel, table: Table) -> Float64s:
    numbers, categories = len(model.facts.numbers), len(model.facts.categories)
    features = table.features
    assert (features.numbers[:numbers], features.categories[:categories]) == (
        tuple(model.facts.numbers),
        tuple(model.facts.categories),
    )
    return model.raw(
        np.ascontiguousarray(table.numbers[:, :numbers]),
        np.ascontiguousarray(table.categories[:, :categories]),
    )
