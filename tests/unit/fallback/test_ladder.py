"""The descent: which rung answers, what is said of the others, what the listener hears."""

from __future__ import annotations

import asyncio

import pytest

from fallback import errors
from fallback.bulkhead import Bulkhead
from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.events import RungSkipped, RungTaken
from fallback.ladder import Descent, Ladder, Step
from fallback.rung import Assessment, Reason, RungName

FULL, BATCH, RULES, LAST = RungName


def saying(rung):
    return Assessment(score=None, action=None, ranking=0.0, reason_codes=(str(rung),))


class FakeRung:
    """Answers after `takes_ms` on the clock, or raises its `error`, or `outcomes` for some."""

    def __init__(self, name, clock, takes_ms):
        self.name = name
        self.clock = clock
        self.takes_ms = takes_ms
        self.error = None
        self.outcomes = {}
        self.asked = 0
        self.batches = []

    async def assess(self, attempts, deadline):
        self.asked += 1
        self.batches.append(list(attempts))
        self.clock.advance(self.takes_ms / 1000)
        if self.error is not None:
            raise self.error
        return [self.outcomes.get(attempt, saying(self.name)) for attempt in attempts]


class FakeLast:
    name = LAST

    def assess(self, attempt):
        return saying(LAST)


class Region:
    def __init__(self):
        self.clock = ManualClock(start_s=10.0)
        self.events = []
        self.full, self.batch, self.rules = (
            FakeRung(name, self.clock, takes_ms)
            for name, takes_ms in ((FULL, 8.0), (BATCH, 4.0), (RULES, 0.5))
        )
        self.full_enabled = True
        self.bulkhead = Bulkhead("full", limit=1)
        steps = [
            Step(
                rung=self.full,
                needed_ms=20.0,
                bulkhead=self.bulkhead,
                enabled=lambda: self.full_enabled,
            ),
            Step(rung=self.batch, needed_ms=10.0),
            Step(rung=self.rules, needed_ms=1.0),
        ]
        self.ladder = Ladder(steps, FakeLast(), clock=self.clock, listener=self.events.append)

    async def assess(self, *, budget_ms=80.0, **where):
        deadline = Deadline.after(budget_ms=budget_ms, clock=self.clock)
        (outcome,) = await self.ladder.assess(["attempt"], deadline, **where)
        return outcome

    async def assess_all(self, *attempts, budget_ms=80.0, **where):
        deadline = Deadline.after(budget_ms=budget_ms, clock=self.clock)
        return await self.ladder.assess(attempts, deadline, **where)


@pytest.fixture
def region():
    return Region()


async def test_the_highest_rung_answers_when_all_is_well(region):
    descent = await region.assess()
    assert descent == Descent(
        rung=FULL, assessment=saying(FULL), not_higher={}, elapsed_ms=pytest.approx(8.0)
    )
    assert region.events == [RungTaken(rung=FULL, elapsed_ms=pytest.approx(8.0))]
    assert region.batch.asked == 0


EXPECTED = [
    kind
    for family in (errors.DependencyError, errors.Unavailable, errors.Refused)
    for kind in family.__subclasses__()
]


@pytest.mark.parametrize("kind", EXPECTED)
async def test_an_expected_failure_steps_down_with_its_own_reason_and_pages_nobody(region, kind):
    region.full.error = kind("gone", dependency="counters-eu")
    descent = await region.assess()
    assert descent.rung is BATCH
    assert descent.assessment == saying(BATCH)
    assert descent.not_higher == {FULL: kind.reason}
    assert descent.elapsed_ms == pytest.approx(12.0)
    assert region.events == [
        RungSkipped(
            rung=FULL,
            reason=kind.reason,
            elapsed_ms=pytest.approx(8.0),
            detail="counters-eu: gone",
        ),
        RungTaken(rung=BATCH, elapsed_ms=pytest.approx(4.0)),
    ]


async def test_a_bug_steps_down_and_the_event_carries_it(region):
    region.full.error = bug = KeyError("merchant")
    descent = await region.assess()
    assert (descent.rung, descent.not_higher) == (BATCH, {FULL: Reason.BUG})
    assert region.events[0] == RungSkipped(
        rung=FULL,
        reason=Reason.BUG,
        elapsed_ms=pytest.approx(8.0),
        detail="KeyError('merchant')",
        bug=bug,
    )


async def test_a_timeout_that_no_adapter_named_is_a_bug(region):
    region.full.error = TimeoutError()
    descent = await region.assess()
    assert descent.not_higher == {FULL: Reason.BUG}


async def test_the_ladder_climbs_back_as_soon_as_the_rung_does(region):
    region.full.error = errors.BreakerOpen()
    assert (await region.assess()).rung is BATCH
    region.full.error = None
    descent = await region.assess()
    assert (descent.rung, descent.not_higher) == (FULL, {})
    assert [type(event).__name__ for event in region.events] == [
        "RungSkipped",
        "RungTaken",
        "RungTaken",
    ]


async def test_when_every_rung_fails_the_last_one_answers_and_all_reasons_are_given_in_order(
    region,
):
    region.full.error = errors.DependencyTimeout()
    region.batch.error = errors.SnapshotUnavailable()
    region.rules.error = ZeroDivisionError()
    descent = await region.assess()
    assert (descent.rung, descent.assessment) == (LAST, saying(LAST))
    assert list(descent.not_higher.items()) == [
        (FULL, Reason.TIMEOUT),
        (BATCH, Reason.SNAPSHOT_UNAVAILABLE),
        (RULES, Reason.BUG),
    ]


async def test_a_request_error_leaves_the_ladder_without_an_event(region):
    region.full.error = wrong = errors.RequestError("unknown currency")
    assert await region.assess() is wrong
    assert region.events == []
    assert region.batch.asked == 0


async def test_a_rung_that_is_switched_off_is_not_asked(region):
    region.full_enabled = False
    descent = await region.assess()
    assert (descent.rung, descent.not_higher) == (BATCH, {FULL: Reason.DISABLED})
    assert region.full.asked == 0


async def test_a_full_bulkhead_steps_down_and_the_slot_is_given_back_after_use(region):
    with region.bulkhead:
        descent = await region.assess()
    assert (descent.rung, descent.not_higher) == (BATCH, {FULL: Reason.PRESSURE})
    assert region.full.asked == 0
    assert (await region.assess()).rung is FULL
    assert region.bulkhead.in_use == 0


@pytest.mark.parametrize(
    ("budget_ms", "rung", "too_late_for"),
    [
        (21.0, FULL, []),
        (15.0, BATCH, [FULL]),
        (2.0, RULES, [FULL, BATCH]),
        (0.5, LAST, [FULL, BATCH, RULES]),
    ],
)
async def test_the_best_rung_that_still_fits_is_taken(region, budget_ms, rung, too_late_for):
    descent = await region.assess(budget_ms=budget_ms)
    assert descent.rung is rung
    assert descent.not_higher == dict.fromkeys(too_late_for, Reason.DEADLINE)


async def test_a_deadline_that_is_over_at_the_start_is_answered_from_memory(region):
    descent = await region.assess(budget_ms=0.0)
    assert (descent.rung, descent.elapsed_ms) == (LAST, 0.0)
    assert region.full.asked + region.batch.asked + region.rules.asked == 0


async def test_a_rung_that_used_the_time_up_leaves_a_cheaper_one_to_answer(region):
    region.full.takes_ms = 75.0
    region.full.error = errors.DependencyTimeout()
    descent = await region.assess()
    assert descent.rung is RULES
    assert descent.not_higher == {FULL: Reason.TIMEOUT, BATCH: Reason.DEADLINE}


async def test_under_pressure_it_starts_lower_and_says_so(region):
    descent = await region.assess(highest=RULES)
    assert descent.rung is RULES
    assert descent.not_higher == {FULL: Reason.PRESSURE, BATCH: Reason.PRESSURE}
    assert region.events[0] == RungSkipped(rung=FULL, reason=Reason.PRESSURE, elapsed_ms=0.0)
    assert region.full.asked + region.batch.asked == 0


async def test_it_can_start_at_the_last_rung_for_another_reason(region):
    descent = await region.assess(highest=LAST, because=Reason.DISABLED)
    assert descent.rung is LAST
    assert set(descent.not_higher.values()) == {Reason.DISABLED}


async def test_a_listener_that_raises_costs_no_answer(region, caplog):
    def broken(_event):
        raise OSError("metrics socket gone")

    ladder = Ladder(
        [Step(rung=region.full, needed_ms=1.0)], FakeLast(), clock=region.clock, listener=broken
    )
    deadline = Deadline.after(budget_ms=80, clock=region.clock)
    (descent,) = await ladder.assess(["attempt"], deadline)
    assert descent.rung is FULL
    assert "a listener raised on RungTaken" in caplog.text


async def test_a_switch_that_raises_is_a_bug_of_its_rung_alone(region):
    step = Step(rung=region.full, needed_ms=1.0, enabled=lambda: 1 / 0)
    ladder = Ladder([step], FakeLast(), clock=region.clock)
    deadline = Deadline.after(budget_ms=80, clock=region.clock)
    (descent,) = await ladder.assess(["attempt"], deadline)
    assert descent.not_higher == {FULL: Reason.BUG}


async def test_concurrent_attempts_descend_each_for_itself(region):
    descents = await asyncio.gather(*(region.assess(highest=name) for name in RungName))
    assert [descent.rung for descent in descents] == list(RungName)


@pytest.mark.parametrize("names", [(BATCH, FULL), (FULL, FULL), (LAST,)])
def test_a_ladder_out_of_order_is_refused(region, names):
    steps = [Step(rung=FakeRung(name, region.clock, 1.0), needed_ms=1.0) for name in names]
    with pytest.raises(ValueError, match="falling order"):
        Ladder(steps, FakeLast(), clock=region.clock)


def test_limits_below_zero_are_refused(region):
    with pytest.raises(ValueError, match="needed_ms"):
        Step(rung=region.full, needed_ms=-1.0)
    with pytest.raises(ValueError, match="reserve_ms"):
        Ladder([], FakeLast(), clock=region.clock, reserve_ms=-1.0)


async def test_a_rung_that_fails_for_some_sends_only_those_on(region):
    stale, bug = errors.FeaturesStale("old"), KeyError("merchant")
    region.full.outcomes = {"b": stale, "d": bug}
    region.batch.outcomes = {"d": errors.SnapshotUnavailable()}
    descents = await region.assess_all("a", "b", "c", "d")
    assert [descent.rung for descent in descents] == [FULL, BATCH, FULL, RULES]
    assert [descent.assessment for descent in descents] == list(
        map(saying, (FULL, BATCH, FULL, RULES))
    )
    assert [descent.not_higher for descent in descents] == [
        {},
        {FULL: Reason.FEATURES_STALE},
        {},
        {FULL: Reason.BUG, BATCH: Reason.SNAPSHOT_UNAVAILABLE},
    ]
    assert (region.batch.batches, region.rules.batches) == ([["b", "d"]], [["d"]])


async def test_an_attempt_s_time_on_the_ladder_is_its_own(region):
    region.full.outcomes = {"b": errors.FeaturesStale()}
    descents = await region.assess_all("a", "b")
    assert [descent.elapsed_ms for descent in descents] == pytest.approx([8.0, 12.0])


async def test_what_is_told_of_a_rung_says_for_how_many_attempts(region):
    stale, bug = errors.FeaturesStale("old"), KeyError("merchant")
    region.full.outcomes = {"b": stale, "c": bug, "d": stale}
    await region.assess_all("a", "b", "c", "d", "e")
    full, batch = pytest.approx(8.0), pytest.approx(4.0)
    assert region.events == [
        RungSkipped(
            rung=FULL,
            reason=Reason.FEATURES_STALE,
            elapsed_ms=full,
            detail=str(stale),
            attempts=2,
        ),
        RungSkipped(
            rung=FULL, reason=Reason.BUG, elapsed_ms=full, detail=repr(bug), bug=bug, attempts=1
        ),
        RungTaken(rung=FULL, elapsed_ms=full, attempts=2),
        RungTaken(rung=BATCH, elapsed_ms=batch, attempts=3),
    ]


async def test_a_rung_that_fails_for_all_is_told_of_once(region):
    region.full.error = errors.BreakerOpen("counters")
    await region.assess_all("a", "b", "c")
    skipped, taken = region.events
    assert (skipped.reason, skipped.attempts, taken.attempts) == (Reason.BREAKER_OPEN, 3, 3)


async def test_pressure_is_told_of_once_a_rung_for_all_of_a_batch(region):
    await region.assess_all("a", "b", "c", highest=RULES)
    told = [(type(event), event.rung, event.attempts) for event in region.events]
    assert told == [(RungSkipped, FULL, 3), (RungSkipped, BATCH, 3), (RungTaken, RULES, 3)]


async def test_a_request_error_of_one_leaves_the_others_where_they_are(region):
    wrong = errors.RequestError("unknown currency")
    region.full.outcomes = {"a": errors.FeaturesStale(), "b": wrong}
    region.batch.outcomes = {"a": errors.SnapshotUnavailable()}
    first, second, third = await region.assess_all("a", "b", "c")
    assert second is wrong
    assert (first.rung, third.rung) == (RULES, FULL)
    assert region.batch.batches == [["a"]]
    assert sum(event.attempts for event in region.events if isinstance(event, RungTaken)) == 2


@pytest.mark.parametrize("given", [[], [saying(FULL)], [saying(FULL)] * 3, None])
async def test_a_rung_that_does_not_answer_once_for_each_attempt_is_a_bug(region, given):
    class Miscounting(FakeRung):
        async def assess(self, attempts, deadline):
            return given

    steps = [Step(rung=Miscounting(FULL, region.clock, 1.0), needed_ms=1.0)]
    ladder = Ladder(steps, FakeLast(), clock=region.clock, listener=region.events.append)
    descents = await ladder.assess(["a", "b"], Deadline.after(budget_ms=80, clock=region.clock))
    assert [descent.rung for descent in descents] == [LAST, LAST]
    assert [descent.not_higher for descent in descents] == [{FULL: Reason.BUG}] * 2
    assert region.events[0].bug is not None


async def test_a_batch_takes_one_place_in_a_bulkhead(region):
    descents = await region.assess_all("a", "b", "c")
    assert [descent.rung for descent in descents] == [FULL] * 3
    assert region.bulkhead.in_use == 0


def test_of_the_last_resort_every_rung_above_was_passed_over_for_the_same_reason(region):
    descent = region.ladder.last_resort("attempt", Reason.BUG)
    assert (descent.rung, descent.assessment) == (LAST, saying(LAST))
    assert descent.not_higher == dict.fromkeys((FULL, BATCH, RULES), Reason.BUG)
    assert [(event.rung, event.attempts) for event in region.events] == [
        (FULL, 1),
        (BATCH, 1),
        (RULES, 1),
        (LAST, 1),
    ]
