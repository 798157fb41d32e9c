"""The wait before a restart grows with ends in a row, to a limit, and shrinks after a good run."""

from __future__ import annotations

from regions.world.backoff import Backoff


def test_the_wait_doubles_from_a_tenth_of_a_second_to_five_seconds():
    backoff = Backoff()
    waits = [backoff.after(ran_s=0.0) for _ in range(8)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_steady_run_ends_the_row():
    backoff = Backoff(steady_s=10)
    backoff.after(ran_s=0)
    backoff.after(ran_s=9.9)
    assert backoff.after(ran_s=10.0) == 0.1


def test_a_reset_ends_the_row():
    backoff = Backoff()
    backoff.after(ran_s=0)
    backoff.reset()
    assert backoff.after(ran_s=0) == 0.1
