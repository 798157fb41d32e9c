"""Phases follow each other without a gap."""

from app.models.training.phases import Phases, peak_memory_bytes


def test_each_phase_begins_where_the_one_before_it_ended():
    times, peaks = iter([100.0, 103.0, 110.5]), iter([10, 30, 40])
    phases = Phases(clock=lambda: next(times), peak=lambda: next(peaks))
    phases.end("read", rows=5)
    phases.end("fit", rows=3)
    assert phases.said() == {
        "took_s": {"read": 3.0, "fit": 7.5},
        "rows": {"read": 5, "fit": 3},
        "peak_so_far_bytes": {"read": 10, "fit": 30},
        "peak_memory_bytes": 40,
    }


def test_the_peak_grows_with_what_is_held():
    before = peak_memory_bytes()
    held = bytearray(before)  # twice of what was ever there
    held[::4096] = b"1" * len(held[::4096])
    assert peak_memory_bytes() - before > len(held) / 2
