"""The steps of a rebuild, and what they do not take for complete."""

from __future__ import annotations

import pytest
import redis

from app.features.applier import Applied
from regions.operations import rebuild
from regions.operations.engine import Runner
from regions.operations.rebuild import Rebuilding, Servers

W = "0/0"


def applied(generation, at=5, *, ready=True):
    return Applied(generation=generation, ready=ready, as_of_ms=0, positions={W: (1, at)})


class Store:
    """Implements what is used of `NextStore`."""

    history = None
    built = False

    def __init__(self, did):
        self.did = did
        self.sample = (3, 3)

    def build(self, report):
        report(1.0, "card 1/1 of shard 0")
        self.did.append("built")
        return {"shard 0": 3}

    def compare(self, _clients):
        return self.sample

    def exchange(self):
        self.did.append("exchanged")


class Region:
    def __init__(self, monkeypatch):
        self.did, self.now_s = [], 0.0
        self.store = Store(self.did)
        self.old, self.new = [applied("old")], [applied("new")]
        self.history = {W: (1, 4)}
        checkpoint = type("Checkpoint", (), {})()
        monkeypatch.setattr(rebuild, "checkpoint_of", lambda _folder: checkpoint)
        checkpoint.positions = self.history

    def applied(self):
        found = self.new if "exchanged" in self.did else self.old
        if found is None:
            raise redis.RedisError("away")
        return found

    def sleep(self, seconds):
        self.now_s += seconds

    def run(self, **options):
        rebuilding = Rebuilding(
            region="us-east-1",
            store=self.store,
            servers=Servers(
                clients=[],
                hold=lambda: self.did.append("held"),
                release=lambda: self.did.append("released"),
                applied=self.applied,
            ),
            report=lambda _share, _what: None,
        )
        runner = Runner(
            monotonic=lambda: self.now_s,
            sleep=self.sleep,
            unknown=(redis.RedisError, OSError),
            **options,
        )
        outcomes = list(runner.run(rebuilding.steps()))
        return [one.result for one in outcomes], outcomes[-1].says


@pytest.fixture
def region(monkeypatch):
    return Region(monkeypatch)


def test_a_store_is_filled_compared_and_switched_to(region):
    assert region.run() == (["ok", "done", "ok", "done"], "generation new")
    assert region.did == ["built", "held", "exchanged", "released"]


def test_a_dry_run_touches_nothing(region):
    assert region.run(dry_run=True)[0] == ["ok", "would", "would", "would"]
    assert region.did == []


def test_without_history_there_is_nothing_to_build_from(region):
    region.history.clear()
    assert region.run() == (["refused"], "there is none to build from")


def test_a_store_that_is_lost_is_rebuilt_without_comparing(region):
    region.old = None
    assert region.run()[0] == ["ok", "done", "ok", "done"]


def test_keys_that_the_old_store_does_not_know_stop_the_switch(region):
    region.store.sample = (2, 3)
    assert region.run() == (["ok", "done", "refused"], "2 of 3 sampled keys")
    assert region.did == ["built"]
    assert region.run(force=True)[0] == ["ok", "done", "forced", "done"]


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (applied("old"), "the old generation is in use"),
        (applied("new", ready=False), "shard 0 catches up with the journals"),
        (applied("new", at=4), "shard 0 lacks events of 1 writers"),
    ],
)
def test_what_is_not_complete_is_not_called_so(region, new, says):
    region.new = [new]
    assert region.run() == (["ok", "done", "ok", "failed"], says)


def test_the_servers_are_let_go_on_also_when_the_switch_fails(region):
    def failing():
        raise OSError("disk full")

    region.store.exchange = failing
    assert region.run() == (["ok", "done", "ok", "failed"], "disk full")
    assert region.did == ["built", "held", "released"]
