"""A shard's client behind a breaker: what is evidence, of what, and when."""

from __future__ import annotations

import asyncio
import random

import pytest

from app.features.guarded import GuardedShard, came
from fallback.breaker import Breaker, BreakerPolicy
from fallback.breaker_states import StateName
from fallback.clock import ManualClock
from fallback.errors import (
    BreakerOpen,
    BulkheadFull,
    DependencyCorrupt,
    DependencyTimeout,
    DependencyUnavailable,
    SourceUnavailable,
)

POLICY = BreakerPolicy(slow_call_ms=20.0)


class Shard:
    """A client whose replies come when they are given."""

    def __init__(self):
        self.sent = []
        self.replies = []
        self.raises = None

    def submit(self, *command):
        return self._send(command)

    def submit_all(self, commands):
        return self._send(*commands)

    def _send(self, *commands):
        if self.raises is not None:
            raise self.raises
        self.sent.append(commands)
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]


class Bench:
    """Two guarded shards on one clock."""

    def __init__(self):
        self.clock = ManualClock(start_s=100.0)
        self.wrong = None
        self.shards = [Shard(), Shard()]
        self.breakers = [
            Breaker(f"shard/{at}", POLICY, clock=self.clock, rng=random.Random(7)) for at in (0, 1)
        ]
        both = zip(self.shards, self.breakers, strict=True)
        self.guarded = [GuardedShard(*one, judge=self.judge) for one in both]

    def judge(self, reply):
        if isinstance(self.wrong, Exception) and reply == "raises":
            raise self.wrong
        return self.wrong

    @property
    def counts(self):
        """Of the first shard's breaker: calls, failures, slow ones."""
        counts = self.breakers[0].counts
        return counts.total, counts.failures, counts.slow

    async def reply(self, at, value):
        """A reply is there; an error is one that fails."""
        if isinstance(value, BaseException):
            self.shards[at].replies[-1].set_exception(value)
        else:
            self.shards[at].replies[-1].set_result(value)
        await asyncio.sleep(0)


@pytest.fixture
async def bench():
    return Bench()


async def test_a_command_is_sent_and_its_reply_handed_on(bench):
    one = bench.guarded[0].submit("MGET", "a", "b")
    both = bench.guarded[0].submit_all([("GET", "a"), ("GET", "b")])
    assert bench.shards[0].sent == [(("MGET", "a", "b"),), (("GET", "a"), ("GET", "b"))]
    await bench.reply(0, [1, 2])
    assert await both == [1, 2]
    assert not one.done()


async def test_several_commands_are_one_call_of_the_dependency(bench):
    bench.guarded[0].submit_all([("GET", "a"), ("GET", "b"), ("GET", "c")])
    await bench.reply(0, [1, 2, 3])
    assert bench.counts == (1, 0, 0)


async def test_a_slow_shard_does_not_make_a_fast_one_beside_it_look_slow(bench):
    fast, slow = (guarded.submit("GET", "a") for guarded in bench.guarded)
    await bench.reply(0, b"1")
    bench.clock.advance(0.5)
    await bench.reply(1, b"1")
    await asyncio.gather(fast, slow)  # awaited together, when the last one is there
    assert [breaker.counts.slow for breaker in bench.breakers] == [0, 1]


async def test_evidence_is_there_with_the_reply_though_nobody_ever_waits_for_it(bench):
    bench.guarded[0].submit("GET", "a")
    await bench.reply(0, b"1")
    assert bench.counts == (1, 0, 0)
    bench.guarded[0].submit("GET", "a")
    await bench.reply(0, DependencyTimeout("late"))
    assert bench.counts == (2, 1, 0)


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        (DependencyTimeout("late"), 1),
        (DependencyUnavailable("refused"), 1),
        (DependencyCorrupt("nonsense"), 1),
        (BulkheadFull("ours"), 0),
        (ZeroDivisionError("a bug"), 0),
    ],
)
async def test_what_the_dependency_is_to_blame_for_counts_and_nothing_else_does(
    bench, error, failures
):
    reply = bench.guarded[0].submit("GET", "a")
    await bench.reply(0, error)
    assert bench.breakers[0].counts.failures == failures
    assert reply.exception() is error


async def test_a_reply_that_is_judged_corrupt_counts_as_a_failure_and_is_handed_on(bench):
    bench.wrong = DependencyCorrupt("no marker")
    reply = bench.guarded[0].submit("GET", "a")
    await bench.reply(0, b"nonsense")
    assert bench.counts == (1, 1, 0)
    assert await reply == b"nonsense"


async def test_a_store_that_says_it_is_not_ready_has_answered_all_the_same(bench):
    bench.wrong = SourceUnavailable("cold")
    bench.guarded[0].submit("GET", "a")
    await bench.reply(0, b"")
    assert bench.breakers[0].counts.failures == 0


async def test_a_judge_with_a_bug_is_no_evidence_and_leaves_the_breaker_at_work(bench):
    bench.wrong = ZeroDivisionError("a bug")
    for _ in range(2 * POLICY.minimum_calls):
        bench.guarded[0].submit("GET", "a")
        await bench.reply(0, "raises")
    assert bench.counts == (0, 0, 0)
    assert bench.breakers[0].state is StateName.CLOSED


async def test_a_reply_that_nobody_waits_for_any_more_says_nothing_of_the_dependency(bench):
    reply = bench.guarded[0].submit("GET", "a")
    bench.clock.advance(1.0)
    reply.cancel()
    await asyncio.sleep(0)
    assert bench.counts == (0, 0, 0)


async def test_a_command_that_cannot_be_sent_is_raised_and_gives_its_admission_back(bench):
    bench.breakers[0].isolate()
    bench.breakers[0].release()  # half open: as many at once as there are probes
    bench.shards[0].raises = ZeroDivisionError("a bug")
    for _ in range(2 * POLICY.probes_max):
        with pytest.raises(ZeroDivisionError):
            bench.guarded[0].submit("GET", "a")


async def test_with_an_open_breaker_nothing_is_sent_and_the_future_says_so(bench):
    for _ in range(POLICY.minimum_calls):
        bench.guarded[0].submit("GET", "a")
        await bench.reply(0, DependencyTimeout("late"))
    assert bench.breakers[0].state is StateName.OPEN
    sent = len(bench.shards[0].sent)
    for refused in (
        bench.guarded[0].submit("GET", "a"),
        bench.guarded[0].submit_all([("GET", "a")]),
    ):
        with pytest.raises(BreakerOpen):
            await refused
    assert len(bench.shards[0].sent) == sent
    other = bench.guarded[1].submit("GET", "a")
    await bench.reply(1, b"1")
    assert await other == b"1"


async def test_probes_that_go_well_close_the_breaker_when_they_are_there(bench):
    bench.breakers[0].isolate()
    bench.breakers[0].release()
    for _ in range(POLICY.probes_to_close):
        bench.guarded[0].submit("GET", "a")
        assert bench.breakers[0].state is StateName.HALF_OPEN
        await bench.reply(0, b"1")
    assert bench.breakers[0].state is StateName.CLOSED


@pytest.mark.parametrize("error", [BreakerOpen("open"), DependencyTimeout("late"), None])
async def test_a_reply_came_or_failed_as_adapters_expect(error):
    reply = asyncio.get_running_loop().create_future()
    assert not came(reply)
    if error is None:
        reply.set_result(None)
    else:
        reply.set_exception(error)
    assert came(reply) is (error is None)


async def test_a_reply_that_was_given_up_did_not_come():
    reply = asyncio.get_running_loop().create_future()
    reply.cancel()
    assert not came(reply)


async def test_a_bug_behind_a_reply_is_raised():
    reply = asyncio.get_running_loop().create_future()
    reply.set_exception(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        came(reply)
