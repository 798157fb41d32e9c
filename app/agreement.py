"""What a region's processes counted in the background, as people and Prometheus read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client.core import HistogramMetricFamily, Metric

from app.telemetry import GAPS
from fallback.rung import RungName

__all__ = ["agreement", "gap_histogram"]


def agreement(totals: Mapping[str, int], shadow: str | None) -> dict[str, dict[str, float]]:
    """How often the same attempt got the same action, since the region's processes started.

    Args:
        totals: counters of all processes.
        shadow: the version in shadow; None for none.

    Returns:
        By lower rung, against the full rung, and for "shadow" against whatever answered: attempts
        `compared`, and the `share` of them with the same action. What was not compared is left out.
    """
    compared: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for key, total in totals.items():
        match key.split("\0"):
            case ["agreement", rung, RungName.FULL, live, background]:
                name, same = rung, live == background
            case ["shadow", version, _, live, background] if version == shadow:
                name, same = "shadow", live == background
            case _:
                continue
        compared[name] += total
        agreed[name] += total * same
    return {
        name: {"compared": total, "share": agreed[name] / total} for name, total in compared.items()
    }


def gap_histogram(totals: Mapping[str, int]) -> Metric:
    """How far background scores are from the live ones."""
    family = HistogramMetricFamily(
        "stepdown_score_gap",
        "Absolute difference to the live score, of the batch rung and of a shadow model.",
        labels=("of",),
    )
    for what in _told(totals):
        running, buckets = 0, []
        for at, bound in enumerate((*map(str, GAPS), "+Inf")):
            running += totals.get(f"score_gap\0{what}\0{at}", 0)
            buckets.append((bound, float(running)))
        family.add_metric([what], buckets, totals[f"score_gap_millionths\0{what}"] / 1e6)
    return family


def _told(totals: Mapping[str, int]) -> Iterable[str]:
    """Those of which there are differences."""
    return sorted(key.split("\0")[1] for key in totals if key.startswith("score_gap_millionths\0"))
