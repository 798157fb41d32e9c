"""The background worker: what it compares, when it works, and what it counts when it cannot."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from app.api.wire import Attempt
from app.background import IDLE_TURN_S, PAUSE_S, TOGETHER, Background, skipped_into
from app.candidate import Candidate, entity_ids
from app.features.directory import MerchantEntry
from app.features.vector import Row
from app.policy import DEFAULT_POLICY, load_policy
from app.rule_inputs import rule_inputs
from app.rulebook import DEFAULT_RULES, load_rules
from app.shadow import Shadow
from app.telemetry import Telemetry
from app.verdict import standing_facts
from fallback.background import QUEUE_MAX, Work
from fallback.clock import ManualClock
from fallback.errors import RequestError, SnapshotUnavailable
from fallback.ladder import Descent, Ladder, Step
from fallback.pressure import Pressure
from fallback.rung import Action, Assessment, RungName
from fallback.rungs.rules import RulesRung
from fallback.rungs.tier_default import TierDefaultRung

POLICY = load_policy(DEFAULT_POLICY)
BODY = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345"},
}


class BatchRung:
    """A batch rung that gives a score, or raises."""

    name = RungName.BATCH

    def __init__(self):
        self.score = 0.0
        self.asked = []
        self.calls = 0
        self.was_asked = asyncio.Event()

    async def assess(self, attempts, deadline):
        self.asked += attempts
        self.calls += 1
        self.was_asked.set()
        if isinstance(self.score, Exception):
            raise self.score
        return [Assessment(score=self.score, action=None, ranking=self.score) for _ in attempts]


class Model:
    """One model of a shadow: gives a score and keeps the rows."""

    def __init__(self, version, score):
        self.version, self.score_, self.rows = version, score, []

    def score(self, rows, deadline):
        (row,) = rows
        self.rows.append(row)
        artifact = SimpleNamespace(version=self.version)
        return [SimpleNamespace(probability=self.score_, artifact=artifact)]


class Bench:
    """A worker with real lower rungs, but for the batch score, and a shadow if one is put in."""

    def __init__(self, share=1.0):
        self.clock = ManualClock()
        self.telemetry = Telemetry()
        self.pressure = Pressure()
        self.batch = BatchRung()
        self.policy = POLICY
        self.published = SimpleNamespace(value=None)
        self.models = {RungName.FULL: Model("v2", 1.0), RungName.BATCH: Model("v2", 0.0)}
        self.batch_row = _row(streaming=None)
        self.worker = Background(
            self._ladders(),
            Shadow(
                self.published,
                scorers=self.models,
                batch=SimpleNamespace(rows=lambda candidates: [self.batch_row for _ in candidates]),
            ),
            share=share,
            pressure=self.pressure,
            policy=lambda: self.policy,
            telemetry=self.telemetry,
            clock=self.clock,
            rng=random.Random(7),
        )

    def _ladders(self):
        rules = load_rules(DEFAULT_RULES)
        last = TierDefaultRung(standing=lambda: POLICY.standing, facts_of=standing_facts)
        by_rule = RulesRung(rules=lambda: rules, inputs_of=lambda one: rule_inputs(one, POLICY))
        steps = {
            RungName.BATCH: [Step(rung=self.batch, needed_ms=1.0)],
            RungName.RULES: [Step(rung=by_rule, needed_ms=1.0)],
            RungName.TIER_DEFAULT: [],
        }
        told = skipped_into(self.telemetry)
        return {
            rung: Ladder(own, last, clock=self.clock, listener=told) for rung, own in steps.items()
        }

    def put_in_shadow(self, *masked):
        self.published.value = SimpleNamespace(facts=SimpleNamespace(masked=masked))

    def answered(self, rung=RungName.FULL, action=Action.APPROVE, score=0.0, **more):
        """An attempt was answered."""
        attempt = msgspec.convert(BODY, Attempt)
        candidate = Candidate(
            attempt=attempt,
            tenant="acme",
            received_ms=1_783_000_000_000,
            amount_ref=2_725,
            merchant=MerchantEntry(tier="strategic", category="books", country="DE"),
            ids=entity_ids(attempt),
            velocity={},
        )
        assessment = Assessment(score=score, action=None, ranking=0.0)
        descent = Descent(rung=rung, assessment=assessment, not_higher={}, elapsed_ms=1.0)
        made = SimpleNamespace(
            asked=SimpleNamespace(candidate=candidate),
            descent=descent,
            action=action,
            withheld=more.get("withheld"),
            row=more.get("row"),
        )
        self.worker.decided(made, answer=None)

    def counted(self, name):
        return {
            tuple(key.split("\0")[1:]): total
            for key, total in self.telemetry.counters.items()
            if key.startswith(f"{name}\0")
        }


def _row(streaming):
    return Row(np.zeros(2, dtype=np.float32), [b"x"], "s1", streaming, large=False)


def full_row(*missing):
    return _row(SimpleNamespace(missing=set(missing)))


@pytest.fixture
def bench():
    return Bench()


async def test_an_answer_of_the_full_rung_is_compared_with_every_rung_below(bench):
    bench.batch.score = 0.9
    bench.answered(score=0.25)
    await bench.worker.work_off()
    assert bench.counted("agreement") == {
        ("batch", "full", "approve", "decline"): 1,
        ("rules", "full", "approve", "approve"): 1,
        ("tier_default", "full", "approve", "approve"): 1,
    }


async def test_the_scores_differ_by_so_much(bench):
    bench.batch.score = 0.9
    bench.answered(score=0.25)
    await bench.worker.work_off()
    assert bench.counted("score_gap") == {("batch", "6"): 1}  # above 0.3, up to 1
    assert bench.counted("score_gap_millionths") == {("batch",): 650_000}


async def test_an_answer_of_a_lower_rung_is_compared_with_those_below_it_alone(bench):
    bench.answered(RungName.RULES, score=None)
    await bench.worker.work_off()
    assert bench.counted("agreement") == {("tier_default", "rules", "approve", "approve"): 1}
    assert bench.batch.asked == []


async def test_answers_of_several_rungs_are_assessed_together_each_on_those_below_its_own(bench):
    bench.batch.score = 0.9
    for _ in range(TOGETHER[Work.RESCORE]):
        bench.answered(score=0.25)
    bench.answered(RungName.RULES, score=None)
    bench.answered(RungName.BATCH, score=0.25)
    await bench.worker.work_off()
    assert (bench.batch.calls, len(bench.batch.asked)) == (1, TOGETHER[Work.RESCORE])
    assert {key[:2]: total for key, total in bench.counted("agreement").items()} == {
        ("batch", "full"): 8,
        ("rules", "full"): 8,
        ("tier_default", "full"): 8,
        ("rules", "batch"): 1,
        ("tier_default", "batch"): 1,
        ("tier_default", "rules"): 1,
    }


async def test_there_is_nothing_below_the_last_rung(bench):
    bench.answered(RungName.TIER_DEFAULT, score=None)
    await bench.worker.work_off()
    assert not bench.telemetry.counters


async def test_what_a_budget_made_of_an_approval_says_nothing_of_the_rung(bench):
    bench.answered(RungName.RULES, Action.STEP_UP, None, withheld="STAND_IN_BUDGET")
    await bench.worker.work_off()
    assert bench.counted("agreement") == {("tier_default", "rules", "approve", "approve"): 1}


async def test_a_rung_that_cannot_assess_is_counted_apart_and_the_others_go_on(bench):
    bench.batch.score = SnapshotUnavailable("gone")
    bench.answered()
    await bench.worker.work_off()
    assert bench.counted("background_skipped") == {("batch", "snapshot_unavailable"): 1}
    assert {rung for rung, *_ in bench.counted("agreement")} == {"rules", "tier_default"}
    assert bench.counted("rung_skipped") == {}


async def test_a_bug_on_a_rung_is_counted_and_the_others_go_on(bench):
    bench.batch.score = ZeroDivisionError()
    bench.answered()
    await bench.worker.work_off()
    assert bench.counted("bugs") == {("background",): 1}
    assert len(bench.counted("agreement")) == 2


async def test_a_bug_beside_the_rungs_is_counted_and_the_next_item_is_done(bench):
    bench.policy = None
    bench.answered()
    await bench.worker.work_off()
    assert bench.counted("bugs") == {("background",): 1}
    bench.policy = POLICY
    bench.answered()
    await bench.worker.work_off()
    assert bench.counted("agreement")["batch", "full", "approve", "approve"] == 1


async def test_the_share_is_drawn_for_every_answer():
    bench = Bench(share=0.25)
    for _ in range(800):
        bench.answered(RungName.RULES, score=None)
        await bench.worker.work_off()
    assert sum(bench.counted("agreement").values()) == pytest.approx(200, abs=40)


async def test_live_pressure_drops_what_waits(bench):
    bench.put_in_shadow()
    bench.answered()
    bench.pressure.depth = 0.1
    bench.answered()
    await bench.worker.work_off()
    assert bench.counted("background_dropped") == {
        ("rescore", "pressure"): 2,
        ("shadow", "pressure"): 2,
    }
    assert bench.batch.asked == []


async def test_a_loop_that_is_busy_is_left_alone_until_it_is_not(bench):
    bench.answered()
    asyncio.get_running_loop().call_soon(bench.clock.advance, 2 * IDLE_TURN_S)  # a live attempt
    await bench.worker.work_off()
    assert bench.batch.asked == []
    await bench.worker.work_off()
    assert len(bench.batch.asked) == 1


async def test_what_finds_the_queue_full_is_dropped(bench):
    for _ in range(QUEUE_MAX + 2):
        bench.answered()
    assert bench.counted("background_dropped") == {("rescore", "full"): 2}


async def test_the_worker_starts_only_after_the_turn_that_answered_and_then_waits_again(bench):
    working = asyncio.create_task(bench.worker.run())
    bench.answered()
    await asyncio.sleep(0)
    assert bench.batch.asked == []
    for times in (1, 2):
        await asyncio.wait_for(bench.batch.was_asked.wait(), 50 * PAUSE_S)
        assert len(bench.batch.asked) == times
        bench.batch.was_asked.clear()
        bench.answered()
    working.cancel()


async def test_a_shadow_scores_the_row_that_the_live_model_saw(bench):
    bench.put_in_shadow()
    row = full_row()
    bench.answered(score=0.25, row=row)
    await bench.worker.work_off()
    assert bench.models[RungName.FULL].rows == [row]
    assert bench.counted("shadow") == {("v2", "full", "approve", "decline"): 1}
    assert bench.counted("score_gap_millionths")["shadow",] == 750_000


async def test_where_rules_answered_a_shadow_scores_the_batch_row(bench):
    bench.put_in_shadow()
    bench.answered(RungName.RULES, score=None)
    await bench.worker.work_off()
    assert bench.models[RungName.BATCH].rows == [bench.batch_row]
    assert bench.counted("shadow") == {("v2", "batch", "approve", "approve"): 1}
    assert bench.counted("score_gap") == {}


async def test_a_shadow_does_not_score_without_counters_that_it_was_not_trained_to_miss(bench):
    bench.put_in_shadow("entities")
    bench.answered(row=full_row("regions"))
    await bench.worker.work_off()
    assert bench.counted("background_skipped") == {("shadow", "source_unavailable"): 1}
    bench.put_in_shadow("entities", "regions")
    bench.answered(row=full_row("regions"))
    await bench.worker.work_off()
    assert sum(bench.counted("shadow").values()) == 1


async def test_a_shadow_that_has_no_row_is_counted_apart(bench):
    bench.put_in_shadow()
    bench.batch_row = SnapshotUnavailable("gone")
    bench.answered(RungName.RULES, score=None)
    await bench.worker.work_off()
    assert bench.counted("background_skipped") == {("shadow", "snapshot_unavailable"): 1}
    assert bench.models[RungName.BATCH].rows == []


async def test_an_attempt_that_a_rung_refuses_is_not_compared_with_it(bench):
    bench.batch.score = RequestError("unknown currency")
    bench.answered()
    await bench.worker.work_off()
    assert {rung for rung, *_ in bench.counted("agreement")} == {"rules", "tier_default"}
    assert bench.counted("bugs") == {}


async def test_a_shadow_that_is_withdrawn_leaves_what_waits_undone(bench):
    bench.put_in_shadow()
    bench.answered(row=full_row())
    bench.published.value = None
    await bench.worker.work_off()
    assert bench.counted("background_skipped") == {("shadow", "model_unavailable"): 1}
    assert bench.counted("shadow") == {}
