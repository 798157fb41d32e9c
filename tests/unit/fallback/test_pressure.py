"""Pressure: as few requests go down as keep the queue short, and all come back."""

from __future__ import annotations

from collections import Counter

import pytest

from fallback.pressure import Pressure, PressureSettings
from fallback.rung import RungName

SETTINGS = PressureSettings(target_ms=10.0, ticks=3, rise=0.1, rise_max=0.5, fall=0.05)


def pressed(*delays_ms):
    pressure = Pressure(SETTINGS)
    for delay_ms in delays_ms:
        pressure.tick(delay_ms)
    return pressure


def test_without_delay_every_request_starts_from_the_top():
    pressure = pressed(*[2.0] * 50)
    for _ in range(100):
        pressure.begin()
        assert pressure.highest() is RungName.FULL
    assert pressure.turned_down == 0


def test_a_burst_that_drains_is_no_overload():
    assert pressed(*[40.0, 40.0, 1.0] * 20).depth == 0.0


def test_a_standing_queue_sends_requests_down_in_proportion_to_its_length():
    assert pressed(*[20.0] * 3).depth == pytest.approx(0.1)
    assert pressed(*[40.0] * 3).depth == pytest.approx(0.3)


def test_one_long_stall_does_not_empty_the_upper_rungs():
    assert pressed(*[5_000.0] * 3).depth == pytest.approx(0.5)


def test_at_a_fractional_depth_two_rungs_share_the_requests_evenly():
    pressure = Pressure(PressureSettings(together_max=400))
    pressure.depth = 1.25
    started = [pressure.highest() for _ in range(400)]
    assert Counter(started) == {RungName.BATCH: 300, RungName.RULES: 100}
    for at in range(0, 400, 4):
        assert started[at : at + 4].count(RungName.RULES) == 1
    assert pressure.turned_down == 400


def test_the_last_rung_is_the_lowest_there_is():
    pressure = pressed(*[500.0] * 100)
    assert {pressure.highest() for _ in range(10)} == {RungName.TIER_DEFAULT}


def test_all_requests_are_back_on_top_once_the_queue_is_gone():
    pressure = pressed(*[500.0] * 100)
    ticks = 0
    while pressure.depth:
        pressure.tick(0.0)
        ticks += 1
    assert ticks == pytest.approx(3 / SETTINGS.fall, abs=3)
    assert pressure.highest() is RungName.FULL


def test_a_server_with_cheaper_lower_rungs_settles_where_its_queue_is_short():
    """A queue of a server that is asked for twice what its full rung can take."""
    cost_ms = dict(zip(RungName, (1.0, 0.8, 0.4, 0.3), strict=True))
    pressure, queued_ms, worst_ms = Pressure(), 0.0, 0.0
    for tick in range(1_500):
        for _ in range(4):  # 40 in 20 ms
            pressure.begin()
            queued_ms += sum(cost_ms[pressure.highest()] for _ in range(10))
        queued_ms = max(queued_ms - 20.0, 0.0)
        pressure.tick(queued_ms)
        if tick > 500:
            worst_ms = max(worst_ms, queued_ms)
    assert worst_ms < 40.0
    assert 1.0 < pressure.depth < 2.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_ms": 0.0},
        {"ticks": 0},
        {"rise": 0.0},
        {"rise": 1.0},
        {"fall": 0.0},
        {"together_max": 0},
    ],
)
def test_limits_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        PressureSettings(**wrong)


def test_of_those_that_begin_together_only_so_many_start_above_the_last_rung():
    pressure = Pressure(PressureSettings(together_max=3))
    for _ in range(2):
        pressure.begin()
        assert [pressure.highest() for _ in range(5)] == [RungName.FULL] * 3 + [
            RungName.TIER_DEFAULT
        ] * 2
    assert pressure.turned_down == 4


@pytest.mark.parametrize(("behind", "above"), [(0, 3), (1, 2), (3, 0), (50, 0)])
def test_the_more_wait_behind_them_the_fewer_start_above_the_last_rung(behind, above):
    pressure = Pressure(PressureSettings(together_max=3))
    pressure.begin(behind)
    assert [pressure.highest() for _ in range(4)].count(RungName.FULL) == above
    pressure.begin()
    assert pressure.highest() is RungName.FULL, "of the next that begin nobody waits behind"


def test_requests_start_from_the_rungs_that_cost_less_alone():
    pressure = Pressure(SETTINGS, rungs=(RungName.FULL, RungName.TIER_DEFAULT))
    pressure.depth = 0.5
    assert [pressure.highest() for _ in range(4)] == [RungName.FULL, RungName.TIER_DEFAULT] * 2
    for _ in range(100):
        pressure.tick(500.0)
    assert pressure.depth == 1.0
    assert {pressure.highest() for _ in range(4)} == {RungName.TIER_DEFAULT}
