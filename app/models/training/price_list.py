"""The price list: each rung measured on a simulated history and on data of one's own, with a date.

It is kept as JSON, and what a page shows is made from there (`app.models.training.price_tables`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from app.errors import OperatorError
from app.features.spec import FeatureSet
from app.models.artifact import RungModel
from app.models.training.ablation import ablated_models
from app.models.training.evaluate import TEST_DAYS, evaluate, test_rows
from app.models.training.fitting import TrainSettings, models_of
from app.models.training.folds import FoldPlan
from app.models.training.history import History
from app.models.training.inputs import inputs_of
from app.models.training.prequential import measure_folds
from app.models.training.prices import PRICES
from app.models.training.regions import RegionsAway
from app.models.training.segments import PATTERN
from app.models.training.train import Split, fit_rung

__all__ = [
    "COMPARED",
    "PriceList",
    "Priced",
    "RungPrice",
    "load_price_list",
    "priced_by_folds",
    "priced_last_week",
]

# Of the figures of `app.models.training.assess`, what rungs are compared by: none can be missing.
COMPARED = (
    "average_precision",
    "roc_auc",
    "card_precision_at_100",
    "recall_at_precision_20",
    *PRICES,
)

Report = Callable[[float, str], None]
Facts = dict[str, str | int | float]


class RungPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a rung was measured at.

    Attributes:
        figures: `COMPARED` by name.
        intervals: their 95 % bounds, bootstrap over days.
        patterns: by pattern of fraud `fraud` (attempts), `recall` and `recall_at_precision_20`.
    """

    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    patterns: dict[str, dict[str, float]]


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Every rung on the same attempts.

    Attributes:
        data: "simulated" or "public": which column it is.
        facts: what was trained and tested on.
        approve_all: `PRICES` where nothing is done.
        rungs: by name, the highest first.
        ablated: full models without some of their inputs, by what they lack.
    """

    data: str
    facts: Facts
    approve_all: dict[str, float]
    rungs: dict[str, RungPrice]
    ablated: dict[str, RungPrice]


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured at once.

    Attributes:
        measured_on: the day.
        priced: by data.
    """

    measured_on: dt.date
    priced: list[Priced]


def load_price_list(path: Path) -> PriceList:
    """Read a price list.

    Raises:
        OperatorError: there is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=PriceList)
    except OSError:
        raise OperatorError(f"{path} cannot be read.") from None
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is no price list: {error}.") from None


def priced_last_week(
    history: History,
    features: FeatureSet,
    settings: TrainSettings,
    *,
    ablate: bool,
    report: Report = lambda _share, _what: None,
) -> Priced:
    """Train as `train` does, and measure as `evaluate` does, on the last week.

    Args:
        history: all attempts.
        features: what the models see.
        settings: how to train.
        ablate: measure full models without their streaming inputs, too.
        report: told the share done and what is being done.

    Raises:
        HistoryError: too few days, or no known fraud to learn from.
    """
    split = Split(history, settings)
    table = inputs_of(history, features, lambda done, what: report(0.1 * done, what))
    away = RegionsAway(history, features)
    models: dict[str, RungModel] = {}
    for rung, inputs in models_of(features):
        first = 0.1 + 0.2 * len(models)

        def told(share: float, first: float = first, rung: str = rung) -> None:
            report(first + 0.2 * share, f"{rung} model: {share:.0%} of its trees")

        models[rung] = fit_rung(
            inputs, split=split, table=table, settings=settings, away=away, report=told
        ).model
    ablated: dict[str, RungModel] = {}
    if ablate:
        ablated = ablated_models(
            split, table, settings, away, lambda done, what: report(0.5 + 0.3 * done, what)
        )
    said = evaluate(
        history,
        table,
        {**models, **ablated},
        lambda done, what: report(0.8 + 0.2 * done, what),
        away=away,
    ).rungs
    fraud = history.fraud[test_rows(history)]
    days = split.facts()
    return Priced(
        data="simulated",
        facts={
            "train_from": _date(int(days["fit_from_day"])),
            "train_to": _date(int(days["gap_from_day"]) - 1),
            "test_from": _date(int(days["test_from_day"])),
            "test_to": _date(int(days["test_from_day"]) + TEST_DAYS - 1),
            "attempts": len(history),
            "test_attempts": len(fraud),
            "test_fraud": int(fraud.sum()),
            "trees": settings.iterations,
            "seeds": str(settings.seed),
            "fingerprint": days["fingerprint"],
        },
        approve_all=said["full"]["approve_all"],
        rungs={name: _price(said[name]) for name in _priced_rungs(said) if name not in ablated},
        ablated={name: _price(said[name]) for name in ablated},
    )


def priced_by_folds(
    history: History,
    features: FeatureSet,
    plan: FoldPlan,
    *,
    seeds: list[int],
    report: Report = lambda _share, _what: None,
) -> Priced:
    """Measure by a protocol of folds, as `evaluate --protocol` does: means over folds and seeds.

    Raises:
        HistoryError: the data do not span the folds.
    """
    said = measure_folds(history, features, plan, seeds=seeds, report=report)
    folds = said["folds"]
    first, last = dt.date.fromisoformat(folds[0]["train_from"]), folds[-1]["test_from"]
    return Priced(
        data="public",
        facts={
            "train_from": str(first),
            "train_to": str(first + dt.timedelta(days=plan.train_days - 1)),
            "test_from": folds[0]["test_from"],
            "test_to": str(dt.date.fromisoformat(last) + dt.timedelta(days=TEST_DAYS - 1)),
            "attempts": len(history),
            "test_attempts": sum(fold["test_attempts"] for fold in folds),
            "test_fraud": sum(fold["test_fraud"] for fold in folds),
            "trees": TrainSettings().iterations,
            "seeds": ",".join(map(str, seeds)),
            "protocol": said["protocol"],
        },
        approve_all=said["rungs"]["full"]["approve_all"],
        rungs={name: _price(said["rungs"][name]) for name in _priced_rungs(said["rungs"])},
        ablated={},
    )


def _priced_rungs(said: Mapping[str, Any]) -> list[str]:
    """The rungs, and the full one with a region away; not what is measured to compare them with."""
    return [
        name
        for name in said
        if not name.endswith(", the worst") and not name.startswith("full without")
    ]


def _price(said: Mapping[str, Any]) -> RungPrice:
    """What is kept of what `assess` says."""
    of_pattern = ("fraud", "recall", "recall_at_precision_20")
    return RungPrice(
        figures={name: said[name] for name in COMPARED},
        intervals={name: tuple(said["intervals"][name]) for name in COMPARED},
        patterns={
            name: {figure: part[figure] for figure in of_pattern}
            for name, part in said["segments"].get(PATTERN, {}).items()
            if part["fraud"]
        },
    )


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
