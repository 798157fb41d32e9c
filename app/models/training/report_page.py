"""The training report: one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from app.models.training.assess import Ranked, Sample
from app.models.training.metrics import METRICS, RankCurve
from app.models.training.model_card import Told, limits, regions_said, split_of
from app.models.training.plots import Line, bars, chart
from app.models.training.segments import PATTERN, caught_in

__all__ = ["report_page"]

POINTS_MAX = 200
INPUTS_SHOWN = 15
SCORE_BINS = 25

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
figcaption { font-weight: 600; }
"""


def report_page(told: Told) -> str:
    """Render the page."""
    title = escape(f"{told.facts.name} {told.identity}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(_sections(told))
        + "\n</body></html>\n"
    )


def _sections(told: Told) -> Iterator[str]:
    facts, evaluation = told.facts, told.evaluation
    sample, ranked = evaluation.sample, evaluation.ranked
    yield f"<h1>{escape(facts.name)} {told.identity}</h1>"
    rows = [("provenance", facts.provenance), ("fingerprint", str(facts.data["fingerprint"]))]
    rows += [("attempts", f"{facts.data['attempts']:,}")]
    yield _table(("data", ""), [*rows, *split_of(told)])
    yield "<h2>The last week, by rung</h2><p>95 % intervals, bootstrap over days.</p>"
    yield _table(("rung", *METRICS), _metric_rows(told))
    yield f"<p>With a region away: {escape(regions_said(facts))}</p>"
    yield _figure("Precision and recall", _precision_recall(sample, ranked))
    for rung in told.chosen:
        yield _figure(f"Reliability, {rung}", _reliability(told, rung))
        yield _figure(f"Scores, {rung}", _scores(sample, ranked[rung]))
        yield _figure(f"Importance, {rung}, percent", _importance(told.importance[rung]))
    yield "<h2>Cost of an attempt, minor units</h2>"
    yield _table(("rung", "by policy", "approve all", "decline above one half"), _cost_rows(told))
    yield "<h2>Thresholds and cost by merchant tier, full rung</h2>"
    columns = ("tier", "attempts", "step up from", "decline from", "by policy", "approve all")
    yield _table(columns, _tier_rows(told))
    yield "<h2>Segments</h2>"
    yield _table(
        ("segment", "attempts", "fraud", *(f"AP {rung}" for rung in evaluation.rungs)),
        _segment_rows(told),
    )
    if PATTERN in next(iter(evaluation.rungs.values()))["segments"]:
        yield "<h2>Fraud caught, by pattern</h2>"
        yield "<p>By the rung's actions, and among alerts at precision 20 %.</p>"
        yield _table(("pattern", "attempts", *evaluation.rungs), _pattern_rows(told))
    yield "<h2>Limits</h2><ul>"
    yield "".join(f"<li>{escape(one)}</li>" for one in limits(told)) + "</ul>"


def _precision_recall(sample: Sample, ranked: Mapping[str, Ranked]) -> str:
    lines = []
    for rung, of in ranked.items():
        precision, recall, _ = RankCurve(of.ranking, sample.fraud, sample.day).points()
        steps = np.searchsorted(recall, np.linspace(0.01, 1.0, POINTS_MAX))
        at = np.unique(np.minimum(steps, len(recall) - 1))
        points = list(zip(recall[at].tolist(), precision[at].tolist(), strict=True))
        lines.append(Line(name=rung, points=points))
    return chart(lines, x="recall", y="precision")


def _reliability(told: Told, rung: str) -> str:
    bins = told.evaluation.rungs[rung]["calibration"]["bins"]
    points = [(one["probability"], one["fraud"]) for one in bins]
    ideal = Line(name="ideal", points=[(0, 0), (1, 1)], dashed=True)
    measured = Line(name="share of fraud", points=points, dots=True)
    return chart([measured, ideal], x="calibrated probability", y="share of fraud")


def _scores(sample: Sample, ranked: Ranked) -> str:
    """How log odds are distributed, of fraud and of genuine attempts, each as shares."""
    low, high = float(ranked.ranking.min()), float(ranked.ranking.max())
    edges = np.linspace(low, high, SCORE_BINS + 1)
    lines = []
    for name, mask in (("genuine", ~sample.fraud), ("fraud", sample.fraud)):
        shares = np.histogram(ranked.ranking[mask], edges)[0] / max(1, int(mask.sum()))
        middles = (edges[:-1] + edges[1:]) / 2 - low
        points = list(zip(middles.tolist(), shares.tolist(), strict=True))
        lines.append(Line(name=name, points=points))
    top = max(share for line in lines for _, share in line.points)
    return chart(lines, x=f"log odds above {low:.1f}", y="share", x_max=high - low, y_max=top)


def _importance(importance: Mapping[str, float]) -> str:
    largest = sorted(importance.items(), key=lambda item: -item[1])[:INPUTS_SHOWN]
    return bars([item for item in largest if item[1] > 0])


def _metric_rows(told: Told) -> Iterator[tuple[str, ...]]:
    for rung, said in told.evaluation.rungs.items():
        cells = []
        for name in METRICS:
            low, high = said["intervals"][name]
            cells.append(f"{said[name]:.3f} ({low:.3f} to {high:.3f})")
        yield rung, *cells


def _cost_rows(told: Told) -> Iterator[tuple[str, ...]]:
    for rung, said in told.evaluation.rungs.items():
        cost = said["cost"]
        found = (cost["mean_minor"], cost["approve_all_minor"])
        naive = cost.get("decline_above_half_minor")
        yield rung, *(f"{one:.1f}" for one in found), "-" if naive is None else f"{naive:.1f}"


def _tier_rows(told: Told) -> Iterator[tuple[str, ...]]:
    for tier, of in told.evaluation.rungs["full"]["cost"]["tiers"].items():
        thresholds = (of["step_up_threshold_median"], of["decline_threshold_median"])
        costs = (of["mean_minor"], of["approve_all_minor"])
        yield (
            tier,
            f"{of['attempts']:,}",
            *(f"{one:.3f}" for one in thresholds),
            *(f"{one:.1f}" for one in costs),
        )


def _segment_rows(told: Told) -> Iterator[tuple[str, ...]]:
    rungs = told.evaluation.rungs
    for kind, parts in next(iter(rungs.values()))["segments"].items():
        if kind == PATTERN:
            continue
        for name, part in parts.items():
            found = [said["segments"][kind][name]["average_precision"] for said in rungs.values()]
            shown = ("-" if one is None else f"{one:.3f}" for one in found)
            yield f"{kind} {name}", f"{part['attempts']:,}", f"{part['fraud']:,}", *shown


def _pattern_rows(told: Told) -> Iterator[tuple[str, ...]]:
    rungs = told.evaluation.rungs
    for name, part in next(iter(rungs.values()))["segments"][PATTERN].items():
        shown = (caught_in(said["segments"][PATTERN][name]) for said in rungs.values())
        yield name, f"{part['fraud']:,}", *shown


def _figure(caption: str, picture: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{picture}</figure>"


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | list[tuple[str, str]]) -> str:
    cells = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"
