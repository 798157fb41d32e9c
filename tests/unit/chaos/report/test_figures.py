"""Rows by state, the availability of all and the budget."""

from __future__ import annotations

import pytest

from chaos.engine.budget import YEAR_S, bounds, spent, unavailability
from chaos.engine.confidence import availability_lower
from chaos.engine.matrix import covered, load_matrix
from chaos.engine.results import Apart, begun, merged
from chaos.engine.spec import load_drills
from chaos.report.figures import figures

ROWS = covered(load_matrix(), load_drills().values())


def states(results):
    return {one.covered.row.row: one.state for one in figures(results, ROWS).rows}


def test_a_row_is_as_bad_as_the_worst_that_was_run_of_it(results, ran):
    results.drills = [ran("store-slow"), ran("store-oom"), ran("store-readonly", failed=1)]
    found = states(results)
    assert (found[3], found[16]) == ("passed", "failed")


def test_a_row_that_was_not_run_is_not_green(results, ran):
    results.drills = [ran("store-slow")]
    found = states(results)
    assert (found[1], found[42], found[43]) == ("notrun", "test", "nothing")


def test_a_drill_that_could_not_be_run_is_red(results):
    results.errors = {"store-slow": "it did not start"}
    assert states(results)[3] == "failed"
    assert not results.passed


def test_a_drill_apart_counts_for_its_row(results):
    results.apart = [Apart(name="twice", title="t", passed=True, found={})]
    assert states(results)[50] == "passed"


def test_void_runs_are_not_counted(results, ran):
    void = ran("store-reset", steady=False, lag_ms=50.0)
    assert (void.result.state, void.result.late) == ("void", 0)
    results.drills = [ran("store-slow", failed=2), void]
    found = figures(results, ROWS)
    assert (found.requests, found.failed, found.drills) == (100, 2, 1)
    assert (found.void_requests, found.void_failed) == (100, 0)
    assert found.availability_lower_95 == availability_lower(100, 2)
    assert 10 not in bounds(results.drills)


def test_a_late_generator_takes_no_failure_back_and_its_run_is_still_void(results, ran):
    late = ran("store-reset", failed=3, lag_ms=50.0)
    assert (late.result.state, late.result.void, late.result.late) == ("void", 1, 1)
    results.drills = [ran("store-slow", failed=2), late]
    found = figures(results, ROWS)
    assert (found.requests, found.failed, found.void_requests) == (200, 5, 0)
    assert bounds(results.drills)[10] == availability_lower(100, 3)
    assert states(results)[10] == "void"
    assert not results.passed


def test_the_budget_is_rate_times_duration_times_what_is_not_proved(ran):
    rows = [one.row for one in ROWS]
    bound = availability_lower(100, 0)
    by_row = bounds([ran("store-slow")])
    assert by_row == {3: pytest.approx(bound)}
    found = {one.row.row: one for one in spent(rows, by_row)}
    slow, undrilled = rows[2], rows[42]
    lost_s = slow.rate_per_year * slow.lasts_s * (1 - bound)
    assert found[3].unavailability == pytest.approx(lost_s / YEAR_S)
    none_s = undrilled.rate_per_year * undrilled.lasts_s
    assert found[43].unavailability == pytest.approx(none_s / YEAR_S)
    assert unavailability(found.values()) == pytest.approx(
        sum(one.unavailability for one in found.values())
    )


def test_a_control_that_passes_fails_the_campaign(results, ran):
    results.drills = [ran("store-slow")]
    results.controls = [ran("all-stores-refused", failed=5, control="rungs-removed")]
    assert results.passed
    results.controls.append(ran("store-slow", control="breaker-off"))
    assert not results.passed


def test_a_control_that_is_void_shows_nothing(results, ran):
    results.drills = [ran("store-slow")]
    results.controls = [ran("store-slow", lag_ms=50.0, control="breaker-off")]
    assert not results.passed


def test_nothing_at_all_is_not_passed(results):
    assert not results.passed


def test_what_is_run_again_stands_in_its_place_and_both_times_count(results, ran):
    results.drills = [ran("store-slow"), ran("store-oom", failed=2)]
    results.apart = [Apart(name="twice", title="t", passed=False, found={})]
    results.errors = {"store-very-slow": "it did not start"}
    assert results.unexpected == {"store-oom", "twice", "store-very-slow"}
    now = begun(commit="def", seed=7)
    now.drills = [ran("store-oom"), ran("store-very-slow")]
    now.apart = [Apart(name="twice", title="t", passed=True, found={})]
    found = merged(results, now)
    assert found.passed
    assert found.again == {"def": ["store-oom", "store-very-slow", "twice"]}
    assert [one.name for one in found.drills] == ["store-slow", "store-oom", "store-very-slow"]
    assert found.commit == "abc"
    figured = figures(found, ROWS)
    assert (figured.requests, figured.failed) == (400, 2)
    assert states(found)[16] == "passed"


def test_what_fails_again_is_still_red(results, ran):
    results.drills = [ran("store-oom", failed=2)]
    results.errors = {"store-slow": "it did not start"}
    now = begun(commit="def", seed=7)
    now.drills = [ran("store-oom", failed=1)]
    now.errors = {"store-slow": "it did not start, either"}
    found = merged(results, now)
    assert found.unexpected == {"store-oom", "store-slow"}
    assert found.errors == now.errors
    assert figures(found, ROWS).failed == 3
