from __future__ import annotations

import numpy as np

from app.simulator.arrays import draw, draw_grouped, steps


def test_draw_follows_the_weights():
    drawn = draw(np.random.default_rng(1), [1, 0, 3], 20_000)
    share = np.bincount(drawn, minlength=3) / 20_000
    assert share[1] == 0
    assert abs(share[2] - 0.75) < 0.02


def test_draw_never_reaches_a_last_position_without_weight():
    assert draw(np.random.default_rng(1), [1.0, 0.0], 10_000).max() == 0


def test_draw_grouped_stays_within_the_group_that_is_wanted():
    groups = np.array([0, 1, 0, 1])
    wanted = np.array([1, 0, 1, 0, 0])
    drawn = draw_grouped(np.random.default_rng(1), np.ones(4), groups, wanted)
    assert (groups[drawn] == wanted).all()


def test_draw_grouped_draws_from_all_where_the_group_is_empty():
    weights = np.array([0.0, 1.0])
    drawn = draw_grouped(np.random.default_rng(1), weights, np.array([0, 1]), np.array([0, 7]))
    assert drawn.tolist() == [1, 1]


def test_steps_count_within_each_run():
    assert steps(np.array([2, 3])).tolist() == [0, 1, 0, 1, 2]
    assert steps(np.array([], dtype=np.int64)).tolist() == []
