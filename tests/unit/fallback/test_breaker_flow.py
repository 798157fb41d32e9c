"""The breaker through whole incidents, on a clock moved by hand."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from itertools import pairwise

import pytest

from fallback.breaker import Breaker
from fallback.clock import ManualClock
from fallback.errors import BreakerOpen, DependencyTimeout


class Traffic:
    """Calls at an even rate against a dependency that is up when `up(now_s)` says so."""

    def __init__(self, up, *, per_s, seed=7):
        self.clock = ManualClock()
        self.up = up
        self.gap_s = 1 / per_s
        self.failed = 0
        self.changes = []  # (seconds, state entered)
        self.breaker = Breaker(
            "counters-eu",
            clock=self.clock,
            rng=random.Random(seed),
            listener=lambda event: self.changes.append(
                (self.clock.monotonic(), str(event.to_state))
            ),
        )

    def run(self, until_s):
        while self.clock.monotonic() < until_s:
            with suppress(BreakerOpen, DependencyTimeout), self.breaker.call():
                self.ask()
            self.clock.advance(self.gap_s)
        return self

    def ask(self):
        if not self.up(self.clock.monotonic()):
            self.failed += 1
            raise DependencyTimeout

    def times_of(self, state):
        return [at for at, entered in self.changes if entered == state]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("per_s", [3, 10, 300])
@pytest.mark.parametrize("down_for_s", [4.0, 30.0, 31.7])
def test_it_is_closed_again_within_four_seconds_after_the_dependency_is_back(
    per_s, down_for_s, seed
):
    back_s = 10.0 + down_for_s
    traffic = Traffic(lambda now_s: not 10.0 <= now_s < back_s, per_s=per_s, seed=seed)
    traffic.run(back_s + 4.0)
    assert traffic.breaker.state == "closed"
    assert traffic.times_of("closed")[-1] < back_s + 4.0


def test_a_dead_dependency_under_heavy_traffic_is_found_within_the_share_of_the_window():
    traffic = Traffic(lambda now_s: now_s < 10.0, per_s=300).run(12.0)
    assert traffic.times_of("open")[0] == pytest.approx(11.5, abs=0.35)


def test_a_dead_dependency_is_asked_a_few_hundred_times_instead_of_every_time():
    traffic = Traffic(lambda now_s: now_s < 10.0, per_s=300).run(70.0)
    assert traffic.failed < 500  # about 430 until it opens, then a probe about every 2 s


def test_a_dependency_that_flaps_every_second_does_not_make_the_breaker_flap():
    traffic = Traffic(lambda now_s: now_s % 1.0 < 0.5, per_s=200).run(60.0)
    requests = 60 * 200
    opened = traffic.times_of("open")
    gaps = [later - earlier for earlier, later in pairwise(opened)]
    assert len(traffic.changes) < requests / 100
    assert min(gaps[2:]) > 1.5  # open_s_max less its jitter
    assert traffic.breaker.rejected > 0.8 * requests


def test_open_time_grows_with_each_failed_probe_up_to_its_limit(bench):
    incident = bench(open_s=0.5, open_s_max=2.0)
    incident.open()
    for open_s in (0.5, 1.0, 2.0, 2.0):
        incident.clock.advance(open_s - 0.01)
        with pytest.raises(BreakerOpen):
            incident.call()
        incident.clock.advance(0.01)
        incident.call(DependencyTimeout(), took_ms=0.0)
    assert incident.states()[:3] == ["open", "half_open", "open"]


def opens_for_s(bench):
    """How long an open breaker refuses calls, to 10 ms; the call let through closes it."""
    waited = 0
    while True:
        try:
            bench.call(took_ms=0.0)
        except BreakerOpen:
            bench.clock.advance(0.01)
            waited += 1
        else:
            return waited / 100


@pytest.mark.parametrize(
    ("calm_s", "open_s"),
    [(1.0, 1.0), (3.0, 0.5)],
    ids=["soon: longer", "after a calm window: as at first"],
)
def test_open_time_is_remembered_for_one_window_after_closing(bench, calm_s, open_s):
    incident = bench(window_s=3.0, open_s=0.5, probes_to_close=1)
    incident.open()
    assert opens_for_s(incident) == pytest.approx(0.5, abs=0.011)
    assert incident.breaker.state == "closed"
    incident.clock.advance(calm_s)
    incident.open()
    assert opens_for_s(incident) == pytest.approx(open_s, abs=0.011)


def test_an_outage_tells_the_whole_story_in_events(bench):
    incident = bench(minimum_calls=2, probes_to_close=2, open_s=0.5)
    incident.calls(2, DependencyTimeout())
    incident.clock.advance(0.5)
    incident.call(DependencyTimeout())
    incident.clock.advance(1.0)
    incident.calls(2)
    assert [
        (str(event.from_state), str(event.to_state), str(event.reason)) for event in incident.events
    ] == [
        ("closed", "open", "failure_rate"),
        ("open", "half_open", "open_elapsed"),
        ("half_open", "open", "probe_failed"),
        ("open", "half_open", "open_elapsed"),
        ("half_open", "closed", "probes_succeeded"),
    ]


async def test_a_hundred_cancelled_calls_at_once_leave_a_closed_breaker_as_it_was(bench):
    breaker = bench(minimum_calls=1).breaker

    async def ask():
        with breaker.call():
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(ask()) for _ in range(100)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert breaker.state == "closed"
    assert breaker.counts.total == 0


async def test_a_burst_in_flight_when_it_opens_opens_it_once(bench):
    incident = bench(minimum_calls=5)
    dead = asyncio.Event()

    async def ask():
        with incident.breaker.call():
            await dead.wait()
            raise DependencyTimeout

    tasks = [asyncio.create_task(ask()) for _ in range(50)]
    await asyncio.sleep(0)
    dead.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, DependencyTimeout) for outcome in outcomes)
    assert incident.states() == ["open"]
    assert incident.events[0].counts.failures == 5
