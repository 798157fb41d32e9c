"""What is watched beside the load: counters, workers, open files."""

from __future__ import annotations

import pytest

from chaos.engine.watches import Bounds, Look, Watch, problems, totals

METRICS = """\
# HELP stepdown_breaker_changes_total Breaker transitions.
stepdown_breaker_changes_total{breaker="source:us/0",to="open"} 3.0
stepdown_breaker_changes_total{breaker="model:full",to="open"} 1.0
stepdown_breaker_changes_total{breaker="source:us/0",to="closed"} 2.0
stepdown_journal_missing_total 7.0
stepdown_age_seconds{what="snapshot"} 1.5e+03
python_gc_objects_collected_total{generation="0"} 9.0
"""


def seen(workers=(11, 12), descriptors=40, **totals):
    return Look(totals=totals, workers=workers, descriptors=descriptors)


def test_counters_are_summed_by_name_and_by_the_value_of_a_label():
    found = totals(METRICS)
    assert found["breaker_changes"] == 6
    assert found["breaker_changes:open"] == 4
    assert found["breaker_changes:source:us/0"] == 5
    assert found["journal_missing"] == 7
    assert not any("gc" in name for name in found)


@pytest.mark.parametrize(
    ("watch", "after", "said"),
    [
        (
            Watch(counters={"missing": Bounds(least=3)}),
            seen(missing=2.0),
            "missing rose by 2, and should by 3 at least",
        ),
        (
            Watch(counters={"bugs": Bounds(most=0)}),
            seen(bugs=1.0),
            "bugs rose by 1, and may by 0 at most",
        ),
        (Watch(workers="same"), seen((11, 13)), "workers (11, 12) were (11, 13) afterwards"),
        (Watch(workers="replaced"), seen(), "no worker was replaced"),
        (
            Watch(descriptors_more=5),
            seen(descriptors=46),
            "the workers have 6 more files open than before",
        ),
    ],
)
def test_what_is_not_as_it_has_to_be_is_said(watch, after, said):
    assert problems(watch, seen(), after) == [said]


def test_what_is_as_it_has_to_be_is_no_problem():
    watch = Watch(
        counters={"missing": Bounds(least=3, most=3)}, workers="replaced", descriptors_more=5
    )
    after = seen((11, 13), 45, missing=4.0)
    assert problems(watch, seen(missing=1.0), after) == []
