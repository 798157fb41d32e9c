"""An episode second by second."""

from __future__ import annotations

from chaos.engine.course import Marks, course_of
from chaos.engine.wire import Outcome

MARKS = Marks(
    start_s=100.0, inject_s=101.0, remove_s=102.5, removed_s=103.0, normal_s=103.25, aborted=False
)


def outcome(due_s, rung="full", latency_ms=10.0, signed=True):
    return Outcome(
        home="us", due_s=due_s, latency_ms=latency_ms, lag_ms=0.0, row=0,
        rung=rung, region="us", action="approve", signed=signed,
    )  # fmt: skip


def test_each_second_has_its_rungs_its_failures_and_its_latencies():
    path = [
        outcome(100.1, latency_ms=5.0),
        outcome(100.9, latency_ms=50.0),
        outcome(102.2, rung="batch"),
        outcome(102.4, latency_ms=101.0),
        outcome(102.5, signed=False),
    ]
    found = course_of(path, MARKS, 100.0)
    assert found.answers == {"full": [2, 0, 0], "batch": [0, 0, 1], "failed": [0, 0, 2]}
    assert found.p50_ms == [5.0, None, 10.0]
    assert found.p99_ms == [50.0, None, 101.0]


def test_instants_count_from_the_start():
    found = course_of([], MARKS, 100.0)
    assert (found.inject_s, found.remove_s, found.removed_s) == (1.0, 2.5, 3.0)
    assert found.normal_s == 3.25
