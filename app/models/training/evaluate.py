"""Every rung on the same attempts: what stepping down costs in accuracy and in money."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from app.api.wire import Attempt
from app.candidate import Candidate, entity_ids
from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity, FeatureSet, Inputs
from app.models.artifact import Artifact, RegionFacts, RungModel
from app.models.training.assess import Ranked, Sample, assess, interval
from app.models.training.calibrate import probabilities
from app.models.training.costs import CostTable, action_number, cost_table
from app.models.training.fitting import columns_of
from app.models.training.history import History, ids_of
from app.models.training.inputs import Table, hot_merchants
from app.models.training.means import Assessed, mean_of
from app.models.training.regions import COUNTED, Received, RegionsAway
from app.models.training.segments import segments_of
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.rule_inputs import rule_inputs
from app.rulebook import DEFAULT_RULES, load_rules
from fallback.brake import BrakeKind, VelocityBrake
from fallback.clock import ManualClock

__all__ = [
    "Evaluation",
    "evaluate",
    "lower_rungs",
    "one_away",
    "precision_of",
    "sample_of",
    "scored",
    "test_rows",
]

TEST_DAYS = 7
SEED = 7

Float64s = npt.NDArray[np.float64]
Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The last week, measured.

    Attributes:
        rungs: by rung what `assess` says, and `intervals`.
        sample: the attempts.
        ranked: what each rung says of them.
        regions: what a region is worth to the full model.
    """

    rungs: Mapping[str, Mapping[str, Any]]
    sample: Sample
    ranked: Mapping[str, Ranked]
    regions: RegionFacts


def test_rows(history: History) -> Int64s:
    """Rows of the last week: never trained on, and a label delay behind what was."""
    return np.flatnonzero(history.received_ms >= history.end_ms - TEST_DAYS * DAY_MS)


def evaluate(
    history: History,
    table: Table,
    models: Artifact | Mapping[str, RungModel],
    report: Report = lambda _share, _what: None,
    *,
    away: RegionsAway | None = None,
) -> Evaluation:
    """Measure each rung on the last week.

    Args:
        history: all attempts.
        table: their inputs.
        models: an artifact, or its models by rung before there is one.
        report: told the share done and what is being done.
        away: what rows are with a region's counters away, where the caller has it already.
    """
    if isinstance(models, Artifact):
        models = {"full": models.full, "batch": models.batch}
    rows = test_rows(history)
    sample = sample_of(history, table, rows)
    report(0.1, "scoring the last week")
    ranked = {rung: scored(model, table, rows, sample.costs) for rung, model in models.items()}
    report(0.15, "scoring with one region away")
    away = away or RegionsAway(history, table.features)
    all_of_it = np.arange(len(rows))
    lacking = [
        scored(models["full"], one, all_of_it, sample.costs) for one in away.each(table, rows)
    ]
    lower = lower_rungs(
        history, table.features, rows, lambda done: report(0.3 + 0.5 * done, "rules")
    )
    ranked.update(lower)
    report(0.8, "metrics")
    rungs: dict[str, Mapping[str, Any]] = {}
    for rung, of_rung in ranked.items():
        report(0.8 + 0.2 * len(rungs) / (len(ranked) + 2), "metrics")
        said, draws = assess(sample, of_rung, seed=SEED)
        rungs[rung] = {**said, "intervals": interval([draws])}
        if rung == "full":
            rungs.update(_one_away(sample, lacking))
    return Evaluation(
        rungs=rungs, sample=sample, ranked=ranked, regions=_regions(rungs, away.received)
    )


def _one_away(sample: Sample, lacking: Sequence[Ranked]) -> dict[str, Mapping[str, Any]]:
    """What the full model is worth with one region away: mean over the regions, and the worst."""
    measured = [assess(sample, ranked, seed=SEED) for ranked in lacking]
    name = one_away(len(lacking))
    worst = min(([one] for one in measured), key=precision_of)
    return {name: mean_of([measured]), f"{name}, the worst": mean_of([worst])}


def _regions(rungs: Mapping[str, Mapping[str, Any]], received: Received) -> RegionFacts:
    name = one_away(received.regions)
    return RegionFacts(
        regions=received.regions,
        drawn=received.drawn,
        mean=rungs[name]["average_precision"],
        worst=rungs[f"{name}, the worst"]["average_precision"],
        batch=rungs["batch"]["average_precision"],
    )


def one_away(regions: int) -> str:
    """What the full model is called where it is measured with one region of so many away."""
    return f"full, one region of {COUNTED[regions]} away"


def precision_of(measured: Sequence[Assessed]) -> float:
    """Mean average precision."""
    return float(np.mean([said["average_precision"] for said, _ in measured]))


def sample_of(history: History, table: Table, rows: Int64s) -> Sample:
    """Some of the attempts, to measure on."""
    return Sample(
        fraud=history.fraud[rows],
        day=history.day[rows],
        card=ids_of(history, Entity.CARD).code[rows],
        segments=segments_of(history, table, rows),
        costs=cost_table(history, rows, load_policy(DEFAULT_POLICY)),
    )


def scored(model: RungModel, table: Table, rows: Int64s, costs: CostTable) -> Ranked:
    """What a model says of some attempts."""
    inputs = Inputs(tuple(model.facts.numbers), tuple(model.facts.categories))
    raw = model.raw(*columns_of(table, rows, inputs))
    probability = probabilities(model.facts.calibration, raw)
    return Ranked(ranking=raw, actions=costs.actions(probability), probability=probability)


def lower_rungs(
    history: History,
    features: FeatureSet,
    rows: Int64s,
    report: Callable[[float], None] = lambda _share: None,
) -> dict[str, Ranked]:
    """What the shipped rules say, each day with the hot list of its own midnight, and the tiers."""
    rates, policy = load_rates(DEFAULT_RATES), load_policy(DEFAULT_POLICY)
    clock = ManualClock()
    brake = VelocityBrake(clock=clock)
    days = history.day[rows]
    rankings: list[float] = []
    actions: list[tuple[int, int]] = []
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
            fired = rules.evaluate(rule_inputs(candidate, policy))
            standing = policy.standing[candidate.tier].band_of(int(today.amount_ref[at])).action
            rankings.append(fired.ranking)
            actions.append((action_number(fired.action), action_number(standing)))
        report(len(rankings) / len(rows))
    by_rule, by_tier = np.array(actions, dtype=np.int8).T
    return {
        "rules": Ranked(ranking=np.array(rankings), actions=by_rule),
        "tier_default": Ranked(
            ranking=history.amount_ref[rows].astype(np.float64), actions=by_tier
        ),
    }
