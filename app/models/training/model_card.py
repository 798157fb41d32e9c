"""The model card: what a model is, what it was measured at, and where it ends. Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from app.models.artifact import ArtifactFacts
from app.models.training.calibrate import Chosen
from app.models.training.evaluate import TEST_DAYS, Evaluation
from app.models.training.fitting import TrainSettings
from app.models.training.metrics import METRICS

__all__ = ["Told", "limits", "model_card", "regions_said", "split_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of a model when it is published.

    Attributes:
        facts: of the artifact.
        identity: hash of what the model is.
        settings: it was trained with.
        evaluation: on the last week.
        chosen: calibration by rung.
        importance: by rung and input, in percent of the model's decisions.
    """

    facts: ArtifactFacts
    identity: str
    settings: TrainSettings
    evaluation: Evaluation
    chosen: Mapping[str, Chosen]
    importance: Mapping[str, Mapping[str, float]]


def model_card(told: Told) -> str:
    """Render the card."""
    return "\n".join(_lines(told)) + "\n"


def split_of(told: Told) -> list[tuple[str, str]]:
    """The period of each part of the data, dates included."""
    data, settings = told.facts.data, told.settings
    names = ("fit_from_day", "calibrate_from_day", "gap_from_day", "test_from_day")
    days = [int(data[name]) for name in names]
    ends = [*days[1:], days[-1] + TEST_DAYS]
    parts = ("fitted on", "calibrated on", f"gap of {settings.gap_days} days", "tested on")
    return [
        (part, f"{np.datetime64(first, 'D')} to {np.datetime64(end - 1, 'D')}")
        for part, first, end in zip(parts, days, ends, strict=True)
    ]


def limits(told: Told) -> list[str]:
    """Where the model's word ends."""
    said = [
        "The figures are of one week of one history; intervals draw its days with replacement.",
        "Cards already known as compromised are in the test week.",
        "Fraud that nobody had reported when the test week began was trained on as genuine.",
    ]
    if told.facts.provenance == "simulated":
        said.append(
            "The data were simulated: outside the development profile this model never decides."
        )
    for rung, of in told.facts.rungs.items():
        if of.unused:
            said.append(
                f"The {rung} model ignores {len(of.unused)} inputs that the data did not hold: "
                f"{', '.join(of.unused)}."
            )
    return said


def regions_said(facts: ArtifactFacts) -> str:
    """What the ladder does while a region's counters are away, and why."""
    of = facts.regions
    assert of is not None, "training measures it"
    rung = "full" if "regions" in facts.masked else "batch"
    where = "drawn, since the history names none" if of.drawn else "as the history has them"
    return (
        f"{rung} answers; average precision of full with one of {of.regions} regions away: "
        f"{of.mean:.3f} (mean), {of.worst:.3f} (worst); of batch: {of.batch:.3f}; regions {where}."
    )


def _lines(told: Told) -> Iterator[str]:
    facts, data = told.facts, told.facts.data
    yield f"# Model card: {facts.name} {told.identity}"
    yield ""
    yield (
        f"Two CatBoost models, `full` and `batch`, on feature set `{facts.features}`, schema "
        f"{facts.feature_schema}. Provenance of the data: **{facts.provenance}**."
    )
    yield "\n## Data\n"
    yield "| | |\n| --- | --- |"
    yield f"| attempts | {data['attempts']:,} |"
    yield f"| fraud | {float(data['fraud_rate']):.3%} |"
    yield f"| fingerprint | `{data['fingerprint']}` |"
    for part, period in split_of(told):
        yield f"| {part} | {period} |"
    settings = told.settings
    yield (
        f"| boosting | {settings.iterations} trees of depth {settings.depth}, learning rate "
        f"{settings.learning_rate}, seed {settings.seed}, {settings.threads} threads |"
    )
    yield f"\n## Measured on the last {TEST_DAYS} days\n"
    yield "95 % intervals in brackets, bootstrap over days.\n"
    yield "| rung | " + " | ".join(METRICS) + " | ECE | Brier |"
    yield "| --- " * (len(METRICS) + 3) + "|"
    for rung, said in told.evaluation.rungs.items():
        yield f"| `{rung}` | " + " | ".join(_cells(said)) + " |"
    yield f"\nWith a region away: {regions_said(told.facts)}"
    yield "\n## Expected cost\n"
    yield "Minor units of the reference currency, mean of an attempt.\n"
    yield "| rung | by policy | approve all | decline above one half |\n| --- | --- | --- | --- |"
    for rung, said in told.evaluation.rungs.items():
        cost = said["cost"]
        naive = cost.get("decline_above_half_minor")
        shown = "-" if naive is None else f"{naive:.1f}"
        mean, nothing = cost["mean_minor"], cost["approve_all_minor"]
        yield f"| `{rung}` | {mean:.1f} | {nothing:.1f} | {shown} |"
    yield "\n## Calibration\n"
    for rung, chosen in told.chosen.items():
        losses = ", ".join(f"{name} {loss:.5f}" for name, loss in chosen.log_loss.items())
        yield f"- `{rung}`: {chosen.method}" + (f" (log loss: {losses})" if losses else "")
    yield "\n## Limits\n"
    for one in limits(told):
        yield f"- {one}"


def _cells(said: Mapping[str, object]) -> Iterator[str]:
    bounds, calibration = said["intervals"], said["calibration"]
    assert isinstance(bounds, dict)
    for name in METRICS:
        low, high = bounds[name]
        yield f"{said[name]:.3f} ({low:.3f} to {high:.3f})"
    for name in ("ece", "brier"):
        yield f"{calibration[name]:.5f}" if isinstance(calibration, dict) else "-"
