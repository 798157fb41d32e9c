"""What a scorer counts, and what goes out of it."""

from __future__ import annotations

import logging

import msgspec
import pytest

from app.telemetry import BOUNDS_MS, Gauges, Push, Telemetry
from fallback.breaker_policy import ChangeReason
from fallback.breaker_states import StateName
from fallback.events import BreakerChanged, RungSkipped, RungTaken
from fallback.rung import Reason, RungName
from fallback.window import WindowCounts

GAUGES = Gauges(rungs={}, breakers={}, ages={}, versions={}, refused={}, journal=True)


@pytest.fixture
def telemetry():
    return Telemetry()


def test_counters_add_up_by_name_and_labels(telemetry):
    telemetry.count("requests_refused", "401")
    telemetry.count("requests_refused", "401", by=2)
    telemetry.count("requests_refused", "422")
    assert telemetry.counters == {"requests_refused\x00401": 3, "requests_refused\x00422": 1}


@pytest.mark.parametrize(
    ("took_ms", "bucket"), [(0.0, 0), (1.0, 0), (1.001, 1), (80.0, 13), (1_000.0, 19), (1e9, 20)]
)
def test_an_answer_goes_into_the_first_bucket_that_holds_it(telemetry, took_ms, bucket):
    telemetry.answered("full", "approve", took_ms)
    assert telemetry.latency.index(1) == bucket
    assert sum(telemetry.latency) == 1
    assert bucket == len(BOUNDS_MS) or took_ms <= BOUNDS_MS[bucket]


def test_a_taken_rung_is_counted_with_the_answer_and_not_before(telemetry):
    telemetry.on_event(RungTaken(rung=RungName.FULL, elapsed_ms=1.0))
    assert not telemetry.counters
    telemetry.answered("full", "approve", 2.0)
    assert telemetry.counters == {"decisions\0full\0approve": 1}


def test_a_skipped_rung_is_counted_by_reason_and_pages_nobody(telemetry, caplog):
    telemetry.on_event(RungSkipped(rung=RungName.FULL, reason=Reason.TIMEOUT, elapsed_ms=25.0))
    assert telemetry.counters == {"rung_skipped\0full\0timeout": 1}
    assert not caplog.records


def test_a_bug_on_a_rung_is_counted_and_logged_with_its_exception(telemetry, caplog):
    bug = ZeroDivisionError("half a feature")
    with caplog.at_level(logging.ERROR):
        telemetry.on_event(
            RungSkipped(rung=RungName.FULL, reason=Reason.BUG, elapsed_ms=1.0, bug=bug)
        )
    assert telemetry.counters["bugs\0full"] == 1
    assert "half a feature" in caplog.text


def test_a_breaker_that_changes_is_counted_and_logged(telemetry, caplog):
    with caplog.at_level(logging.WARNING):
        telemetry.on_event(
            BreakerChanged(
                name="source:us-east-1",
                from_state=StateName.CLOSED,
                to_state=StateName.OPEN,
                reason=ChangeReason.FAILURE_RATE,
                counts=WindowCounts(total=6, failures=6, slow=0),
            )
        )
    assert telemetry.counters == {"breaker_changes\0source:us-east-1\0open": 1}
    assert "breaker source:us-east-1: closed -> open (failure_rate" in caplog.text


def test_a_push_is_everything_since_the_start_and_stays_as_it_was(telemetry):
    telemetry.answered("full", "approve", 2.0)
    push = telemetry.push(GAUGES)
    telemetry.answered("full", "approve", 3.0)
    assert push.counters == {"decisions\0full\0approve": 1}
    assert sum(push.latency) == 1
    assert push.latency_sum_ms == 2.0
    assert sum(telemetry.push(GAUGES).latency) == 2


def test_a_push_survives_the_wire(telemetry):
    push = telemetry.push(GAUGES)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(push), type=Push) == push


def test_two_processes_are_told_apart():
    assert Telemetry().process != Telemetry().process
