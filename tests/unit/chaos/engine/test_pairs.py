"""Pairs of faults: drawn by seed, and never two that break the same."""

from __future__ import annotations

from itertools import combinations

import msgspec

from chaos.engine.pairs import paired, pairs, touched
from chaos.engine.spec import Drill, load_drills

DRILLS = load_drills()


def test_the_same_seed_draws_the_same_pairs_and_another_seed_others():
    def drawn(seed):
        return [one.name for one in pairs(DRILLS.values(), 10, seed=seed)]

    assert len(set(drawn(7))) == 10
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_no_two_faults_of_a_pair_break_the_same():
    every = pairs(DRILLS.values(), 10_000, seed=7)
    assert len(every) > 100
    for pair in every:
        first, second = pair.name.split("+")
        broken = [{touched(fault) for fault in DRILLS[name].faults} for name in (first, second)]
        assert not broken[0] & broken[1], pair.name


def test_what_cuts_a_store_off_and_what_kills_it_break_the_same():
    names = ("store-reset", "datastore-killed", "all-stores-refused", "store-oom")
    for one, other in combinations(names, 2):
        assert touched(DRILLS[one].faults[0]) == touched(DRILLS[other].faults[0])


def test_a_pair_has_the_faults_of_both_and_asks_for_no_rung():
    pair = paired(DRILLS["replication-cut"], DRILLS["stream-killed"])
    assert [fault.do for fault in pair.faults] == ["link_down", "process_killed"]
    assert [fault.after_s for fault in pair.faults] == [0.0, 2.0]
    assert (pair.rungs, pair.recovery_s) == ({}, 30.0)
    assert all(fault.after_s < pair.hold_s for fault in pair.faults)


def test_every_pair_is_read_back_as_it_was_written():
    for pair in pairs(DRILLS.values(), 10_000, seed=7):
        assert msgspec.json.decode(msgspec.json.encode(pair), type=Drill) == pair
