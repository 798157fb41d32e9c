"""Drills that were never run, with results made by the same code as real ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from chaos.engine.course import Marks
from chaos.engine.measure import measured
from chaos.engine.results import begun, told
from chaos.engine.spec import load_drills
from chaos.engine.verdict import judge
from chaos.engine.wire import Body, Ended, Outcome

HOME = "us-east-1"
MARKS = Marks(start_s=0.0, inject_s=4.0, remove_s=8.0, removed_s=8.0, normal_s=9.0, aborted=False)
DRILLS = load_drills()


def outcome(due_s, **other):
    facts = {
        "home": HOME, "due_s": due_s, "latency_ms": 10.0, "lag_ms": 0.1, "row": 0,
        "rung": "full", "region": HOME, "action": "approve", "signed": True,
    }  # fmt: skip
    return Outcome(**{**facts, **other})


@pytest.fixture
def ran():
    """A drill of a hundred attempts in its fault, so many of them failed."""

    def make(name, *, failed=0, lag_ms=0.1, steady=True, control=None, problems=()):
        drill = DRILLS[name]
        rung = next(iter(drill.rungs), "full")
        own = HOME if steady else "eu-west-1"
        before = [outcome(number / 20, lag_ms=lag_ms, region=own) for number in range(60)]
        good = [outcome(4 + number / 50, rung=rung) for number in range(100 - failed)]
        bad = [outcome(6.0, error="status 500", rung=None, action=None) for _ in range(failed)]
        episode = measured(
            0, drill, HOME,
            marks=MARKS,
            outcomes=[*before, *good, *bad],
            said=(),
            ended=[Ended(home=HOME, requests=160)],
            bodies=[Body(attempt={}, fraud=False, ref=100)],
            problems=problems,
        )  # fmt: skip
        whole = SimpleNamespace(drill=drill, result=judge(drill, [episode]), episodes=[episode])
        return told(whole, control)

    return make


@pytest.fixture
def results():
    return begun(commit="abc", seed=7)
