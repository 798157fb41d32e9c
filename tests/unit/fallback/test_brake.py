from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.brake import BrakeKind, BrakeSettings, VelocityBrake
from fallback.clock import ManualClock

CARD, DEVICE = BrakeKind.CARD, BrakeKind.DEVICE


def test_an_attempt_counts_itself() -> None:
    brake = VelocityBrake(clock=ManualClock())

    assert [brake.hit(CARD, "c") for _ in range(3)] == [1, 2, 3]


def test_keys_and_kinds_are_counted_apart() -> None:
    brake = VelocityBrake(clock=ManualClock())
    brake.hit(CARD, "x")

    assert brake.hit(CARD, "y") == 1
    assert brake.hit(DEVICE, "x") == 1


def test_a_burst_across_sub_buckets_is_seen_whole() -> None:
    clock = ManualClock(start_s=1.9)
    brake = VelocityBrake(clock=clock)
    for _ in range(9):
        brake.hit(CARD, "c")
        clock.advance(1.1)

    assert brake.hit(CARD, "c") == 10


def test_an_attempt_is_forgotten_after_the_window_and_one_sub_bucket() -> None:
    clock = ManualClock()
    brake = VelocityBrake(clock=clock)
    brake.hit(CARD, "c")
    clock.advance(12.0)

    assert brake.hit(CARD, "c") == 1


def test_a_long_pause_forgets_everything() -> None:
    clock = ManualClock()
    brake = VelocityBrake(clock=clock)
    brake.hit(CARD, "c")
    clock.advance(1e9)

    assert brake.hit(CARD, "c") == 1


@given(gaps_ms=st.lists(st.integers(0, 6_000), min_size=1, max_size=60))
def test_a_count_is_never_low_and_at_most_one_sub_bucket_generous(gaps_ms: list[int]) -> None:
    clock = ManualClock()
    brake = VelocityBrake(clock=clock, settings=BrakeSettings(window_s=10.0, sub_buckets=5))
    now_ms, hits_ms = 0, []
    for gap_ms in gaps_ms:
        clock.advance(gap_ms / 1000)
        now_ms += gap_ms
        hits_ms.append(now_ms)
        count = brake.hit(CARD, "c")

        # one millisecond of room for the rounding of the clock's sums
        assert sum(now_ms - hit_ms <= 9_999 for hit_ms in hits_ms) <= count
        assert count <= sum(now_ms - hit_ms <= 12_001 for hit_ms in hits_ms)


def test_memory_is_bounded_and_what_was_forgotten_is_counted() -> None:
    brake = VelocityBrake(clock=ManualClock(), settings=BrakeSettings(entries_max=2))
    for key in ("old", "kept", "kept", "new"):
        brake.hit(CARD, key)

    assert brake.evicted == 1
    assert brake.hit(CARD, "kept") == 3
    assert brake.hit(CARD, "old") == 1


def test_the_key_longest_without_an_attempt_goes_first() -> None:
    brake = VelocityBrake(clock=ManualClock(), settings=BrakeSettings(entries_max=2))
    for key in ("a", "b", "a", "c"):
        brake.hit(CARD, key)

    assert brake.hit(CARD, "a") == 3


def test_forgetting_a_key_whose_counts_have_run_out_is_no_loss() -> None:
    clock = ManualClock()
    brake = VelocityBrake(clock=clock, settings=BrakeSettings(entries_max=1))
    brake.hit(CARD, "old")
    clock.advance(12.0)
    brake.hit(CARD, "new")

    assert brake.evicted == 0


def test_a_flood_of_one_kind_does_not_crowd_out_another() -> None:
    brake = VelocityBrake(clock=ManualClock(), settings=BrakeSettings(entries_max=1))
    brake.hit(CARD, "c")
    for number in range(5):
        brake.hit(DEVICE, f"d{number}")

    assert brake.hit(CARD, "c") == 2


@pytest.mark.parametrize("limits", [{"window_s": 0}, {"sub_buckets": 0}, {"entries_max": 0}])
def test_limits_out_of_range_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        BrakeSettings(**limits)
