"""The table of the exception tree, each error by name."""

from __future__ import annotations

import pytest

from fallback import errors
from fallback.rung import Reason

TABLE = [
    (errors.DependencyTimeout, Reason.TIMEOUT, True),
    (errors.DependencyUnavailable, Reason.SOURCE_UNAVAILABLE, True),
    (errors.DependencyRefusal, Reason.SOURCE_UNAVAILABLE, True),
    (errors.DependencyCorrupt, Reason.SOURCE_UNAVAILABLE, True),
    (errors.FeaturesStale, Reason.FEATURES_STALE, False),
    (errors.SourceUnavailable, Reason.SOURCE_UNAVAILABLE, False),
    (errors.ModelUnavailable, Reason.MODEL_UNAVAILABLE, False),
    (errors.SnapshotUnavailable, Reason.SNAPSHOT_UNAVAILABLE, False),
    (errors.RulesUnavailable, Reason.RULES_UNAVAILABLE, False),
    (errors.BreakerOpen, Reason.BREAKER_OPEN, False),
    (errors.BulkheadFull, Reason.PRESSURE, False),
    (errors.DeadlineNear, Reason.DEADLINE, False),
    (errors.Disabled, Reason.DISABLED, False),
    (errors.RungOverrun, Reason.TIMEOUT, False),
]


@pytest.mark.parametrize(("error", "reason", "trips"), TABLE, ids=str)
def test_each_error_gives_its_reason_and_says_whether_it_trips(error, reason, trips):
    assert error().reason is reason
    assert error().trips is trips


def test_the_table_names_every_error_that_has_no_kinds_below_it():
    def leaves(kind):
        return {kind}.union(*map(leaves, kind.__subclasses__())) - (
            {kind} if kind.__subclasses__() else set()
        )

    assert {error for error, _, _ in TABLE} == leaves(errors.RungError)


def test_every_reason_but_a_bug_has_an_error():
    assert {reason for _, reason, _ in TABLE} == set(Reason) - {Reason.BUG}


def test_the_message_names_the_dependency_where_there_is_one():
    assert str(errors.DependencyTimeout("30 ms", dependency="counters-eu")) == "counters-eu: 30 ms"
    assert str(errors.FeaturesStale("age 9 s")) == "age 9 s"
    assert str(errors.Disabled()) == "Disabled"


def test_a_request_error_is_no_rung_error_so_no_lower_rung_is_asked():
    assert not issubclass(errors.RequestError, errors.RungError)
