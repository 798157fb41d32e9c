"""Overload, deadlines and soak in figures."""

from __future__ import annotations

import pytest

from chaos.bench.deadlines import asked_of
from chaos.bench.generator import Phase, Sent
from chaos.bench.overload import full_again_s, parts_of, rungs_by_second
from chaos.bench.soak import Sample, slope_mb


def sent(due_s, rung, *, latency_ms=None, failures=None, given_up_s=()):
    return Sent(
        due_s=due_s,
        latency_ms=latency_ms or [1.0] * len(due_s),
        rung=rung,
        rungs=["full", "rules"],
        failures=failures or {},
        given_up_s=list(given_up_s),
        lag_ms=0.1,
        lag_p999_ms=0.1,
    )


def test_rungs_are_shares_of_what_each_second_should_have_sent():
    shares = rungs_by_second(sent([0.1, 0.9, 1.5, 1.6], [0, 1, 1, 1]), 2.5)
    assert shares == {"full": [0.5, 0.0, 0.0], "rules": [0.5, 1.0, 0.0]}


def test_what_nobody_answered_counts_in_the_second_and_the_part_it_was_due():
    some = sent([0.1, 1.5], [0, 1], latency_ms=[5.0, 101.0], given_up_s=[0.2, 1.1, 1.2])
    assert rungs_by_second(some, 2.0) == {"full": [0.5, 0.0], "rules": [0.0, 0.3333]}
    phases = [Phase(seconds=1.0, rate=2.0), Phase(seconds=1.0, rate=3.0)]
    calm, overload = parts_of(some, phases)
    assert (calm.answers, calm.in_time) == (1, 0.5)
    assert (overload.answers, overload.in_time) == (1, 0.0)


def test_full_again_counts_from_the_end_of_the_overload():
    assert full_again_s([1.0, 1.0, 0.2, 0.1, 0.4, 0.995, 1.0], 2, 4) == 1


def test_full_at_once_is_zero_seconds():
    assert full_again_s([1.0, 0.5, 1.0], 1, 2) == 0


@pytest.mark.parametrize("full", [[1.0, 0.2, 0.5], [0.0, 0.0, 0.0], []])
def test_full_never_again_is_none(full):
    assert full_again_s(full, 1, 2) is None


def test_an_answer_after_its_deadline_and_none_at_all_are_not_in_time():
    some = sent([0, 1, 2], [0, 0, 1], latency_ms=[20.0, 20.1, 5.0], failures={"503": 1})
    asked = asked_of(20, some)
    assert (asked.requests, asked.failed, asked.in_time) == (4, 1, 0.5)
    assert asked.rungs == {"full": 0.6667, "rules": 0.3333}


def test_the_slope_of_memory_is_per_hundred_thousand_requests():
    samples = [Sample(requests=at * 50_000, rss_mb=100.0 + at, descriptors=9) for at in range(4)]
    assert slope_mb(samples) == pytest.approx(2.0)
    assert slope_mb(samples[:1]) == 0.0
