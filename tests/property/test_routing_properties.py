"""Health checks and the choice of a region, whatever is observed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regions.routing.health import Check, Checker, CheckRule, observed
from regions.routing.interface import nearest
from regions.topology import load_topology

TOPOLOGY = load_topology()
REGIONS = sorted(TOPOLOGY.regions)
HEALTH = st.fixed_dictionaries({region: st.booleans() for region in REGIONS})


def naive(probes, threshold):
    """A checker's word by looking at all that it saw."""
    word = None
    for end, passed in enumerate(probes, 1):
        last = probes[max(end - threshold, 0) : end]
        if word is None or (passed != word and len(last) == threshold and len(set(last)) == 1):
            word = passed
    return word


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 10))
def test_a_checkers_word_is_that_of_the_last_whole_streak(probes, threshold):
    checker = Checker()
    for passed in probes:
        checker = observed(checker, passed, threshold)
    assert checker.passing == naive(probes, threshold)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 10))
def test_an_inverted_check_says_the_opposite_of_the_plain_one(probes, threshold):
    rule = CheckRule(checkers=2, failure_threshold=threshold)
    plain, inverted = Check(rule=rule), Check(rule=rule, inverted=True)
    for number, passed in enumerate(probes):
        plain.tell(number % 2, passed)
        inverted.tell(number % 2, passed)
    assert plain.healthy != inverted.healthy


@given(HEALTH, st.sampled_from(REGIONS))
def test_an_unhealthy_region_is_named_only_when_all_are(healthy, near):
    chosen = nearest(near, healthy, TOPOLOGY.round_trip_ms)
    assert healthy[chosen] or not any(healthy.values())


@given(HEALTH, st.sampled_from(REGIONS))
def test_no_usable_region_is_nearer_than_the_one_that_is_named(healthy, near):
    chosen = nearest(near, healthy, TOPOLOGY.round_trip_ms)
    usable = [region for region in REGIONS if healthy[region]] or REGIONS
    far_ms = TOPOLOGY.round_trip_ms(near, chosen)
    assert all(far_ms <= TOPOLOGY.round_trip_ms(near, other) for other in usable)


@given(HEALTH, st.sampled_from(REGIONS))
def test_what_a_region_becomes_does_not_move_who_is_sent_elsewhere(healthy, near):
    chosen = nearest(near, healthy, TOPOLOGY.round_trip_ms)
    for other in REGIONS:
        if other != chosen and healthy[other] and healthy[chosen]:
            fewer = {**healthy, other: False}
            assert nearest(near, fewer, TOPOLOGY.round_trip_ms) == chosen
