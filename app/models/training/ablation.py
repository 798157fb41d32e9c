"""Models that lack some inputs, on the same rows and seed: what those inputs are worth.

Whether fraud that comes in bursts is caught by streaming inputs shows by taking them away. The
inputs of the last 24 hours are

* every input over a counter whose window is a day or less,
* seconds since the last event, whatever their counter's window, and
* the state of an entity whose counters all are such: to be present there is to have been seen in
  that time.
"""

from __future__ import annotations

from collections.abc import Callable

from app.features.spec import DAY_MS, REGIONS_PRESENT, Aggregate, Counter, FeatureSet
from app.models.artifact import RungModel
from app.models.training.fitting import TrainSettings
from app.models.training.inputs import Table
from app.models.training.regions import RegionsAway
from app.models.training.train import Split, fit_rung

__all__ = ["ablated_models", "of_last_day", "streaming"]


def of_last_day(features: FeatureSet) -> frozenset[str]:
    """Streaming inputs that tell of the last 24 hours."""
    short = {counter.name for counter in features.counters if _is_short(counter)}
    states = (
        f"{entity}_counters_state"
        for entity in features.entities
        if all(_is_short(counter) for counter in features.counters_of(entity))
    )
    inputs = (one.name for one in features.features if short & set(one.counters))
    return frozenset((*inputs, *states))


def streaming(features: FeatureSet) -> frozenset[str]:
    """All streaming inputs."""
    states = (f"{entity}_counters_state" for entity in features.entities)
    return frozenset((REGIONS_PRESENT, *(one.name for one in features.features), *states))


def ablated_models(
    split: Split,
    table: Table,
    settings: TrainSettings,
    away: RegionsAway,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> dict[str, RungModel]:
    """Full models without some of their inputs, each calibrated for itself.

    Args:
        split: rows to fit and calibrate on.
        table: all inputs.
        settings: how to train, the seed included.
        away: what rows are with a region's counters away.
        report: told the share done and what is being done.
    """
    features = table.features
    left_out = {
        "full_without_24h": of_last_day(features),
        "full_without_streaming": streaming(features),
    }
    models: dict[str, RungModel] = {}
    for at, (name, without) in enumerate(left_out.items()):

        def told(share: float, name: str = name, at: int = at) -> None:
            report((at + share) / len(left_out), f"{name}: {share:.0%} of its trees")

        models[name] = fit_rung(
            features.full_inputs,
            split=split,
            table=table,
            settings=settings,
            away=away,
            report=told,
            without=without,
        ).model
    return models


def _is_short(counter: Counter) -> bool:
    return counter.ring.window_ms <= DAY_MS or counter.aggregate is Aggregate.LAST
