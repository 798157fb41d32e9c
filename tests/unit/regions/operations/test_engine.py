"""The step engine: check, act, verify, undo."""

from __future__ import annotations

import pytest

from regions.operations.engine import Runner, Step, done, not_yet, refused


class UnclearError(Exception):
    pass


class Desk:
    """Steps write what they did; time passes by sleeping."""

    def __init__(self):
        self.did = []
        self.now_s = 0.0

    def run(self, *steps, **options):
        runner = Runner(
            monotonic=lambda: self.now_s, sleep=self.sleep, unknown=(UnclearError,), **options
        )
        return [(one.result, one.says) for one in runner.run(steps)]

    def sleep(self, seconds):
        self.now_s += seconds

    def acting(self, name):
        return lambda: self.did.append(name)

    def step(self, name="step", **parts):
        parts = {
            "check": lambda: done("there") if name in self.did else not_yet("not there"),
            "act": self.acting(name),
        } | parts
        return Step(name=name, **parts)


@pytest.fixture
def desk():
    return Desk()


def raising(error):
    def look():
        raise error

    return look


def test_a_step_is_done_and_verified(desk):
    assert desk.run(desk.step()) == [("done", "there")]
    assert desk.did == ["step"]


def test_a_step_that_was_done_before_is_not_done_again(desk):
    desk.run(desk.step())
    assert desk.run(desk.step()) == [("already", "there")]
    assert desk.did == ["step"]


def test_a_dry_run_looks_at_everything_and_does_nothing(desk):
    steps = (desk.step("one"), desk.step("two"), desk.step("three", check=lambda: done("is")))
    assert [result for result, _ in desk.run(*steps, dry_run=True)] == ["would", "would", "already"]
    assert desk.did == []


def test_a_step_that_only_looks_is_ok(desk):
    assert desk.run(desk.step(check=lambda: done("fine"), act=None)) == [("ok", "fine")]


def test_a_refusal_ends_the_operation(desk):
    found = desk.run(desk.step("one", check=lambda: refused("no"), act=None), desk.step("two"))
    assert found == [("refused", "no")]
    assert desk.did == []


@pytest.mark.parametrize(("may", "result"), [(True, "forced"), (False, "refused")])
def test_only_what_may_be_forced_is_forced(desk, may, result):
    step = desk.step(check=lambda: refused("no"), act=None, may_be_forced=may)
    assert desk.run(step, force=True) == [(result, "no")]


def test_a_step_is_waited_for_and_no_longer(desk):
    late = desk.step(act=None, check=lambda: done("now") if desk.now_s > 5 else not_yet("wait"))
    assert desk.run(desk.step(act=None, check=late.check, wait_s=10)) == [("done", "now")]
    desk.now_s = 0.0
    assert desk.run(desk.step(act=None, check=late.check, wait_s=3)) == [("failed", "wait")]
    assert 3 <= desk.now_s < 4


def test_a_step_that_does_not_verify_is_undone_and_ends_the_operation(desk):
    step = desk.step("one", verify=lambda: refused("bad"), undo=desk.acting("undo"))
    assert desk.run(step, desk.step("two")) == [("failed", "bad; undone")]
    assert desk.did == ["one", "undo"]


def test_an_undo_that_fails_is_said(desk):
    step = desk.step(verify=lambda: refused("bad"), undo=raising(UnclearError("away")))
    assert desk.run(step) == [("failed", "bad; and could not be undone: away")]


def test_what_cannot_be_seen_does_not_keep_an_act_from_being_done(desk):
    step = desk.step(check=raising(UnclearError("blind")), verify=lambda: done("there"))
    assert desk.run(step) == [("done", "there")]
    assert desk.did == ["step"]


def test_what_cannot_be_seen_refuses_where_there_is_only_something_to_see(desk):
    assert desk.run(desk.step(act=None, check=raising(UnclearError("blind")))) == [
        ("refused", "blind")
    ]


def test_an_act_that_fails_is_undone(desk):
    step = desk.step(act=raising(UnclearError("disk full")), undo=desk.acting("undo"))
    assert desk.run(step) == [("failed", "disk full; undone")]


def test_a_bug_is_not_swallowed(desk):
    with pytest.raises(ZeroDivisionError):
        desk.run(desk.step(check=lambda: 1 / 0))
