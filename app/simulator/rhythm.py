"""When people buy: the week, the day by local hour, and the seasons of gifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import HOUR_MS, Bools, Floats, Ints, Random, draw
from app.simulator.config import SimulatorConfig

__all__ = ["Rhythm", "draw_rhythm", "time_of_day"]

# Share of a day's attempts by local hour: a trough before dawn, lunch, and an evening peak.
_HOURS = np.array(
    [14, 8, 5, 4, 4, 6, 14, 28, 42, 52, 58, 62, 66, 62, 58, 58, 60, 66, 74, 82, 84, 74, 52, 28],
    dtype=np.float64,
)
# Monday to Sunday.
_WEEKDAYS = np.array([0.93, 0.94, 0.96, 1.0, 1.12, 1.10, 0.95])
_SEASON_DAYS = 4
_DAYS_PER_SEASON = 30
_SEASON_FACTOR = 1.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """The days of a simulation.

    Attributes:
        share: share of all genuine attempts, one entry a day; adds up to 1.
        season: whether the day lies in a season of gifts, one entry a day.
    """

    share: Floats
    season: Bools


def draw_rhythm(rng: Random, config: SimulatorConfig) -> Rhythm:
    """Give every day its share: weekday, slow growth, seasons of gifts, a little noise."""
    day = np.arange(config.days)
    season = np.zeros(config.days, dtype=np.bool_)
    for first in rng.integers(0, config.days, config.days // _DAYS_PER_SEASON):
        season[first : first + _SEASON_DAYS] = True
    weight = _WEEKDAYS[(config.start.weekday() + day) % 7] * (1 + 0.001 * day)
    weight = weight * np.where(season, _SEASON_FACTOR, 1.0) * rng.normal(1, 0.03, config.days)
    return Rhythm(share=weight / weight.sum(), season=season)


def time_of_day(rng: Random, utc_offset_h: Ints) -> Ints:
    """A moment of the UTC day for each entry, in milliseconds, busy when its local hour is."""
    hour = (draw(rng, _HOURS, len(utc_offset_h)) - utc_offset_h) % 24
    return hour * HOUR_MS + rng.integers(0, HOUR_MS, len(utc_offset_h))
