from __future__ import annotations

import numpy as np

from app.simulator.config import SimulatorConfig
from app.simulator.rhythm import draw_rhythm, time_of_day

HOUR_MS = 3_600_000


def test_the_days_divide_the_attempts():
    rhythm = draw_rhythm(np.random.default_rng(1), SimulatorConfig())
    assert len(rhythm.share) == 60
    assert abs(rhythm.share.sum() - 1) < 1e-9
    assert rhythm.share.min() > 0


def test_days_in_a_season_are_busier():
    rhythm = draw_rhythm(np.random.default_rng(1), SimulatorConfig())
    assert rhythm.share[rhythm.season].mean() > 1.15 * rhythm.share[~rhythm.season].mean()


def test_the_busy_hour_moves_with_the_time_zone():
    def busiest(offset_h: int) -> int:
        at_ms = time_of_day(np.random.default_rng(1), np.full(50_000, offset_h))
        assert at_ms.min() >= 0
        assert at_ms.max() < 24 * HOUR_MS
        return int(np.bincount(at_ms // HOUR_MS).argmax())

    assert busiest(0) in {19, 20}
    assert busiest(8) in {11, 12}
