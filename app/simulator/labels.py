"""Labels: what becomes known of the fraud, from whom, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, Ints, Random, chance, draw

__all__ = ["SOURCES", "Labels", "draw_labels"]

SOURCES = ("chargeback", "early_alert", "review", "customer")
_SOURCE_WEIGHTS = (0.16, 0.48, 0.13, 0.23)
# Days from the attempt until the source raises it: median and spread of the logarithm.
_RAISED_DAYS = ((14.0, 0.5), (1.5, 0.6), (0.8, 0.6), (2.0, 0.7))
# Days from there until the label arrives.
_PASSED_ON_DAYS = ((3.0, 0.4), (0.6, 0.5), (0.05, 0.5), (0.3, 0.6))
# By position in `campaigns.PATTERNS`: small test charges are often never disputed.
_NEVER_LABELLED = np.array([1.0, 0.22, 0.08, 0.10])


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """One row a label, sorted by arrival.

    Attributes:
        attempt: row number of the attempt.
        source: position in `SOURCES`.
        event_ms: when the source raised it, UTC milliseconds.
        arrived_ms: when it arrived, UTC milliseconds.
    """

    attempt: Ints
    source: Ints
    event_ms: Ints
    arrived_ms: Ints


def draw_labels(rng: Random, attempt: Ints, at_ms: Ints, pattern: Ints) -> Labels:
    """Draw at most one label for each fraudulent attempt.

    Delays are lognormal by source: a review takes a day, an early alert of the card network
    some days, a customer's report about a week at most, a chargeback one to several weeks. Some
    fraud is never labelled. Labels that arrive after the last day are kept: who reads them cuts
    at the time of reading.

    Args:
        rng: source of randomness.
        attempt: row numbers of the fraudulent attempts.
        at_ms: their receipt, UTC milliseconds.
        pattern: their positions in `campaigns.PATTERNS`.
    """
    labelled = ~chance(rng, _NEVER_LABELLED[pattern], len(pattern))
    attempt, at_ms = attempt[labelled], at_ms[labelled]
    source = draw(rng, _SOURCE_WEIGHTS, len(attempt))
    event_ms = at_ms + _delay_ms(rng, _RAISED_DAYS, source)
    arrived_ms = event_ms + _delay_ms(rng, _PASSED_ON_DAYS, source)
    order = np.argsort(arrived_ms, kind="stable")
    return Labels(
        attempt=attempt[order],
        source=source[order],
        event_ms=event_ms[order],
        arrived_ms=arrived_ms[order],
    )


def _delay_ms(rng: Random, days: tuple[tuple[float, float], ...], source: Ints) -> Ints:
    """Lognormal delays, milliseconds, with each source's median and spread."""
    median, spread = np.array(days).T
    days_late = rng.lognormal(np.log(median[source]), spread[source])
    return np.asarray(days_late * DAY_MS, dtype=np.int64)
