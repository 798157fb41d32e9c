"""Counters of several regions and shards, merged; what is missing is said, not guessed."""

import math

import numpy as np
import pytest

from app.features.applier import Applied, shard_of
from app.features.countable import Countable, events_of
from app.features.events import Counted
from app.features.merge import Ask, Merge, MergePlan, Reply
from app.features.packed import key, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import Entity
from fallback.errors import DependencyCorrupt, DependencyTimeout

NOW_MS = 1_783_000_000_000
IDS = {Entity.CARD: "tok_1", Entity.MERCHANT: "mer_1", Entity.DEVICE: "dev_1"}
READERS = layouts_of(REFERENCE)
NAMES = [feature.name for feature in REFERENCE.features]
AWAY = DependencyTimeout("25 ms", dependency="eu-west-1")


def own(as_of_ms=NOW_MS):
    return Applied(generation="g", ready=True, as_of_ms=as_of_ms, positions={"0/1": (1, 7)})


def value(entity, *, attempts, at_ms=NOW_MS - 1_000, devices=()):
    """A packed value after so many attempts."""
    reader = READERS[entity]
    records = reader.layout.blank(1)
    bits = [{"device": 1 << bit} for bit in devices] or [{}] * attempts
    what = int(Counted.ATTEMPTED)
    counted = [Countable("t", at_ms, what, 100, {}, dict(bits[at])) for at in range(attempts)]
    events = events_of(counted, REFERENCE.told_apart)
    reader.layout.apply(records, np.zeros(attempts, dtype=np.int64), events)
    return records.tobytes()


def name(entity):
    return key("t", entity, IDS[entity])


def add(merge, region, found, shards):
    merge.add(Reply(region, [found.get(name) for name in merge.names()], shards))


def merged(*replies, ids=IDS, amount=500.0):
    merge = Merge(MergePlan(REFERENCE), [Ask("t", ids, amount)])
    for reply in replies:
        add(merge, *reply)
    (result,) = merge.results(NOW_MS)
    return result


def inputs(streaming):
    return dict(zip(NAMES, streaming.inputs.tolist(), strict=True))


def states(streaming):
    return dict(zip(REFERENCE.entities, streaming.states, strict=True))


def test_totals_add_and_bitmaps_unite_over_the_regions():
    here = {name(Entity.CARD): value(Entity.CARD, attempts=2, devices=(1, 2))}
    there = {name(Entity.CARD): value(Entity.CARD, attempts=3, devices=(2, 3, 4))}
    found = merged(("us-east-1", here, (own(),)), ("eu-west-1", there, (own(),)))
    assert inputs(found)["card_attempted_1h"] == 5
    assert inputs(found)["card_devices_24h"] == 4
    assert inputs(found)["amount_to_card_mean"] == 5.0
    assert (found.regions_present, found.missing) == (1.0, frozenset())


def test_each_state_is_what_it_is_called():
    here = {name(Entity.CARD): value(Entity.CARD, attempts=1)}
    found = merged(("us-east-1", here, (own(),)))
    assert states(found)[Entity.CARD] == b"present"
    assert states(found)[Entity.DEVICE] == b"never_seen"
    assert states(found)[Entity.EMAIL] == b"not_mapped"
    assert inputs(found)["device_attempted_1h"] == 0
    assert math.isnan(inputs(found)["email_customers_7d"])


def test_a_value_that_is_past_its_horizon_was_never_seen():
    long_ago = NOW_MS - REFERENCE.horizon_ms(Entity.CARD) - 1
    here = {name(Entity.CARD): value(Entity.CARD, attempts=1, at_ms=long_ago)}
    found = merged(("us-east-1", here, (own(),)))
    assert states(found)[Entity.CARD] == b"never_seen"


def test_without_one_region_the_others_count_and_the_share_says_so():
    here = {name(Entity.CARD): value(Entity.CARD, attempts=2)}
    found = merged(("us-east-1", here, (own(),)), ("eu-west-1", {}, (AWAY,)))
    assert inputs(found)["card_attempted_1h"] == 2
    assert (found.regions_present, found.missing) == (0.5, {"regions"})
    assert set(found.positions) == {"us-east-1/0"}


def test_of_three_regions_two_may_be_away_but_that_is_most_of_them():
    here = {name(Entity.CARD): value(Entity.CARD, attempts=2)}
    replies = [("us-east-1", here, (own(),)), *((at, {}, (AWAY,)) for at in ("eu", "ap"))]
    one_away = merged(replies[0], ("eu", {}, (own(),)), replies[2])
    assert one_away.missing == {"regions"}
    assert one_away.regions_present == 2 / 3
    assert merged(*replies).missing == {"regions", "most_regions"}


def test_an_entity_that_most_regions_lack_is_not_hidden_by_those_that_all_have():
    gone = shard_of(name(Entity.DEVICE), 3)
    lacking = tuple(AWAY if shard == gone else own() for shard in range(3))
    found = merged(("us-east-1", {}, (own(),) * 3), ("eu", {}, lacking), ("ap", {}, lacking))
    assert found.regions_present > 0.5
    assert found.missing == {"regions", "most_regions"}


def test_what_lives_on_a_shard_that_is_away_is_unavailable_and_the_rest_is_not():
    shards = {entity: shard_of(name(entity), 3) for entity in IDS}
    gone = shards[Entity.DEVICE]
    assert shards[Entity.CARD] != gone, "ids that live apart"
    here = {name(Entity.CARD): value(Entity.CARD, attempts=2)}
    replies = tuple(AWAY if shard == gone else own() for shard in range(3))
    found = merged(("us-east-1", here, replies))
    assert states(found)[Entity.CARD] == b"present"
    assert states(found)[Entity.DEVICE] == b"unavailable"
    assert math.isnan(inputs(found)["device_attempted_1h"])
    assert found.missing == {"entities"}
    assert found.regions_present == 1.0


def test_where_nothing_answers_the_first_reason_is_given():
    assert merged(("us-east-1", {}, (AWAY,))) is AWAY


def test_a_value_that_cannot_be_read_is_unavailable_and_spoils_no_other():
    broken = {
        name(Entity.CARD): b"not a value",
        name(Entity.MERCHANT): value(Entity.MERCHANT, attempts=1),
    }
    found = merged(("us-east-1", broken, (own(),)))
    assert states(found)[Entity.CARD] == b"unavailable"
    assert states(found)[Entity.MERCHANT] == b"present"
    only = merged(("us-east-1", broken, (own(),)), ids={Entity.CARD: "tok_1"})
    assert isinstance(only, DependencyCorrupt)


def test_the_age_is_that_of_the_oldest_counters_in_use():
    found = merged(("us-east-1", {}, (own(),)), ("eu-west-1", {}, (own(NOW_MS - 1_500),)))
    assert found.age_ms == 1_500


@pytest.mark.parametrize("amount", [math.nan])
def test_without_an_amount_only_what_needs_it_has_no_value(amount):
    here = {name(Entity.CARD): value(Entity.CARD, attempts=2)}
    found = inputs(merged(("us-east-1", here, (own(),)), amount=amount))
    assert math.isnan(found["amount_to_card_mean"])
    assert found["card_amount_mean_30d"] == 100.0


def test_attempts_of_one_batch_may_be_read_as_of_different_moments():
    found = {name(Entity.CARD): value(Entity.CARD, attempts=2)}
    moments = np.array([NOW_MS, NOW_MS + 2 * 3_600_000])
    merge = Merge(MergePlan(REFERENCE), [Ask("t", IDS, 500.0), Ask("t", IDS, 500.0)])
    add(merge, "us-east-1", found, (own(),))
    soon, later = merge.results(moments, read_ms=NOW_MS + 250)
    assert [inputs(one)["card_attempted_1h"] for one in (soon, later)] == [2, 0]
    assert [inputs(one)["card_attempted_24h"] for one in (soon, later)] == [2, 2]
    assert [one.as_of_ms for one in (soon, later)] == moments.tolist()
    assert [one.age_ms for one in (soon, later)] == [250, 250]
