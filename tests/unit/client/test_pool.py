"""Which endpoint is asked first, which is left alone, and how it comes back."""

from __future__ import annotations

import random

import pytest

from stepdown_client.events import Ejected, Returning
from stepdown_client.pool import Pool
from stepdown_client.settings import ClientSettings, EjectionPolicy

REGIONS = {"near": "http://near", "middle": "http://middle", "far": "http://far"}


class Told(list):
    def of(self, kind):
        return [event for event in self if isinstance(event, kind)]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def pool(clock, told, tmp_path):
    settings = ClientSettings(
        endpoints=REGIONS, api_key="k", trusted_keys=tmp_path, ejection=EjectionPolicy(jitter=0)
    )
    return Pool(settings, clock=clock, rng=random.Random(1), tell=told.append)


def names(order):
    return [endpoint.region for endpoint in order]


def answer(pool, clock, region, took_ms, *, times=1, every_s=0.01):
    for _ in range(times):
        clock.advance(every_s)
        pool.answered(pool.endpoints[region], took_ms, 1.0)


def fail(pool, clock, region, *, times=1):
    for _ in range(times):
        clock.advance(0.01)
        pool.failed(pool.endpoints[region], "timeout")


def grey(pool, clock, region, *, seconds, share=0.3, rate=100):
    """A region that answers a share of its attempts 200 ms later."""
    rng = random.Random(2)
    for _ in range(int(seconds * rate)):
        answer(pool, clock, region, 210 if rng.random() < share else 10, every_s=1 / rate)
        if pool.endpoints[region].health.state == "ejected":
            return


def test_before_anything_is_measured_the_configured_order_holds(pool):
    assert names(pool.order()) == ["near", "middle", "far"]


def test_measured_endpoints_are_asked_nearest_first(pool, clock):
    for region, took_ms in {"near": 220, "middle": 90, "far": 10}.items():
        answer(pool, clock, region, took_ms)
    assert names(pool.order()) == ["far", "middle", "near"]


def test_one_that_is_a_little_nearer_does_not_take_over(pool, clock):
    answer(pool, clock, "near", 100)
    answer(pool, clock, "middle", 150)
    assert names(pool.order())[0] == "near"
    answer(pool, clock, "middle", 80, times=100)
    assert pool.endpoints["middle"].latency.mean_ms < 90
    assert names(pool.order())[0] == "near"
    answer(pool, clock, "middle", 50, times=100)
    assert names(pool.order())[0] == "middle"


def test_five_failures_in_a_row_eject_with_however_little_traffic(pool, clock, told):
    fail(pool, clock, "near", times=4)
    assert not told
    fail(pool, clock, "near")
    assert told == [Ejected(region="near", why="failures_in_a_row", for_s=5.0)]
    assert names(pool.order()) == ["middle", "far", "near"]


def test_a_third_of_failures_ejects_though_none_stand_in_a_row(pool, clock, told):
    for _ in range(12):
        fail(pool, clock, "near")
        answer(pool, clock, "near", 10, times=2)
    assert [event.why for event in told.of(Ejected)] == ["failure_rate"]


def test_a_grey_region_is_ejected_within_5_seconds_at_100_a_second(pool, clock, told):
    answer(pool, clock, "near", 10, times=500)
    assert not told
    started_s = clock.monotonic()
    grey(pool, clock, "near", seconds=10)
    assert [event.why for event in told.of(Ejected)] == ["slow_rate"]
    assert clock.monotonic() - started_s < 5


def test_a_region_that_is_always_far_is_not_slow(pool, clock, told):
    answer(pool, clock, "far", 220, times=1_000)
    assert not told
    assert pool.endpoints["far"].slow == 0


def test_what_all_suffer_from_ejects_nobody(pool, clock, told):
    for region in REGIONS:
        answer(pool, clock, region, 10, times=50)
    rng = random.Random(3)
    for _ in range(2_000):
        slow = rng.random() < 0.4
        for region in REGIONS:
            answer(pool, clock, region, 210 if slow else 10, every_s=0.003)
    assert not told


def test_the_last_one_in_use_is_never_ejected(pool, clock, told):
    for region in REGIONS:
        fail(pool, clock, region, times=50)
    assert len(told.of(Ejected)) == 2
    assert names(pool.order())[0] == "far"
    assert sorted(names(pool.order())) == sorted(REGIONS)


def test_when_nothing_works_the_first_probe_brings_a_region_back_at_once(pool, clock, told):
    for region in REGIONS:
        fail(pool, clock, region, times=50)
    clock.advance(0.1)
    near = pool.endpoints["near"]
    assert near.health.ejected_for_s == 0
    pool.probed(near, 3.0)
    assert told.of(Returning) == [Returning(region="near")]
    assert near.health.share == 1
    fail(pool, clock, "far")
    assert names(pool.order())[0] == "near"


def test_a_probe_before_the_time_is_over_brings_nothing_back(pool, clock, told):
    fail(pool, clock, "near", times=5)
    clock.advance(4.9)
    pool.probed(pool.endpoints["near"], 3.0)
    assert not told.of(Returning)
    clock.advance(0.2)
    assert pool.endpoints["near"].health.state == "ejected"
    pool.probed(pool.endpoints["near"], 3.0)
    assert told.of(Returning)


def test_the_return_is_a_ramp(pool, clock):
    fail(pool, clock, "near", times=5)
    clock.advance(5.1)
    near = pool.endpoints["near"]
    pool.probed(near, 3.0)
    shares = []
    for _ in range(5):
        shares.append(near.health.share)
        clock.advance(2.7)
    assert shares == [0.01, 0.1, 0.5, 1.0, 1.0]
    assert near.health.state == "up"


def test_a_ramp_gives_about_its_share_of_the_attempts(pool, clock):
    answer(pool, clock, "near", 1)
    fail(pool, clock, "near", times=5)
    clock.advance(5.1)
    pool.probed(pool.endpoints["near"], 1.0)
    clock.advance(3.0)  # the tenth of its ramp
    first = sum(names(pool.order())[0] == "near" for _ in range(2_000))
    assert 130 <= first <= 280


def test_trouble_while_it_returns_ejects_for_twice_as_long(pool, clock, told):
    fail(pool, clock, "near", times=5)
    clock.advance(5.1)
    pool.probed(pool.endpoints["near"], 3.0)
    fail(pool, clock, "near", times=2)
    assert [event.for_s for event in told.of(Ejected)] == [5.0, 10.0]


def test_after_a_quiet_minute_it_begins_anew(pool, clock, told):
    for _ in range(2):
        fail(pool, clock, "near", times=5)
        clock.advance(30)
        pool.probed(pool.endpoints["near"], 3.0)
        clock.advance(90)
    assert [event.for_s for event in told.of(Ejected)] == [5.0, 5.0]


def test_ejections_never_grow_past_their_bound(pool, clock, told):
    for _ in range(10):
        fail(pool, clock, "near", times=5)
        clock.advance(61)
        pool.probed(pool.endpoints["near"], 3.0)
        clock.advance(0.5)
    assert told.of(Ejected)[-1].for_s == 60


def test_a_region_that_is_slower_for_good_may_come_back(pool, clock, told):
    answer(pool, clock, "near", 10, times=100)
    answer(pool, clock, "near", 100, times=100)
    assert len(told.of(Ejected)) == 1
    clock.advance(10)
    pool.probed(pool.endpoints["near"], 100.0)
    answer(pool, clock, "near", 100, times=2_000)
    assert len(told.of(Ejected)) == 1


def test_a_probe_that_waited_for_the_end_of_the_outage_keeps_nobody_away(pool, clock):
    for region, took_ms in {"near": 10, "middle": 90, "far": 220}.items():
        answer(pool, clock, region, took_ms, times=100)
    fail(pool, clock, "near", times=5)
    clock.advance(5.1)
    near = pool.endpoints["near"]
    pool.probed(near, 950.0)
    for _ in range(7):  # while it returns
        clock.advance(1)
        pool.probed(near, 2.0)
    clock.advance(2)
    assert near.health.state == "up"
    assert names(pool.order())[0] == "near"


def test_one_that_nobody_asks_any_more_is_judged_by_its_probes(pool, clock):
    answer(pool, clock, "middle", 60, times=100)
    answer(pool, clock, "near", 100, times=20)
    assert names(pool.order())[0] == "middle"
    for _ in range(6):
        clock.advance(10)
        answer(pool, clock, "middle", 60)
        pool.probed(pool.endpoints["near"], 2.0)
    assert names(pool.order())[0] == "near"


def test_one_that_is_asked_is_judged_by_its_answers(pool, clock):
    answer(pool, clock, "near", 60, times=20)
    for _ in range(6):
        clock.advance(0.1)
        pool.probed(pool.endpoints["near"], 2.0)
    assert pool.endpoints["near"].latency.mean_ms == pytest.approx(60)


def test_weights_of_the_routing_document_share_out_the_attempts(pool, clock):
    answer(pool, clock, "near", 1)
    pool.route(REGIONS, {"near": 10.0})
    first = sum(names(pool.order())[0] == "near" for _ in range(2_000))
    assert 130 <= first <= 280


def test_an_evacuated_region_is_asked_last_of_all(pool, clock):
    answer(pool, clock, "near", 1)
    pool.route(REGIONS, {"near": 0.0})
    assert {tuple(names(pool.order())) for _ in range(50)} == {("middle", "far", "near")}


def test_what_is_known_of_a_region_outlives_a_new_document(pool, clock):
    answer(pool, clock, "near", 10)
    before = pool.endpoints["near"]
    gone = pool.route({"near": "http://near", "new": "http://new"}, {})
    assert pool.endpoints["near"] is before
    assert sorted(names(gone)) == ["far", "middle"]
    moved = pool.route({"near": "http://moved"}, {})
    assert before in moved
