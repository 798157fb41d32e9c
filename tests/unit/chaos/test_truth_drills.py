"""What the drills on truth across regions make of what they saw, and the bounds they hold it to."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from app.errors import OperatorError
from app.rulebook import DEFAULT_RULES
from chaos.attack import Attack, brake_over, model_over
from chaos.brake_bound import bound_of, card_limit
from chaos.burst import Burst, BurstResult
from chaos.checkout import Unanswered, paced
from chaos.partition import Partition, cut_off_links
from chaos.truth import Agreement
from chaos.truth_commands import run_truth
from chaos.truth_table import attack_table, burst_table, twice_table
from chaos.twice import AtOnce, Later, Twice, standing
from regions.topology import load_topology
from regions.world.network import links_of
from regions.world.plan import Plan
from regions.world.settings import WorldSettings

AGREED = Agreement(entities=1, counters=9, equal_s={"here": 0.1}, lost=0, twice=0, wrong=0)
APART = Agreement(entities=1, counters=9, equal_s={"here": None}, lost=1, twice=0, wrong=1)
ONE, OTHER = "us-east-1", "eu-west-1"


def shown(table):
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


# The brake's bound.


def test_the_shipped_rules_stop_a_card_at_its_fourth_attempt_in_a_worker():
    assert card_limit(DEFAULT_RULES) == 4


def test_a_brake_lets_one_less_than_its_limit_through_in_each_worker_of_each_region():
    assert bound_of(4, workers=2, regions=3) == 18


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{when: velocity.card_10s >= 2, then: approve}]", "no rule"),
        ("rules: [{when: velocity.card_10s >= 9 and retry.count == 0, then: decline}]", "no rule"),
        ("rules: 7", "cannot be read"),
        ("rules: [", "cannot be read"),
    ],
)
def test_a_rule_file_that_stops_no_card_by_its_count_alone_is_refused(tmp_path, text, said):
    rules = tmp_path / "rules.yaml"
    rules.write_text(text, "utf-8")
    with pytest.raises(OperatorError, match=said):
        card_limit(rules)


# Attacks.


def threshold(counts, *, limit):
    """Approvals of a region that approves until it has seen so many."""
    return min(counts, limit)


@pytest.mark.parametrize("sent", [1, 4, 11, 100])
@pytest.mark.parametrize("regions", [2, 3])
def test_no_threshold_over_approves_past_the_bound_of_a_model(sent, regions):
    alone = threshold(sent, limit=5)
    split = sum(threshold(len(range(at, sent, regions)), limit=5) for at in range(regions))
    assert split - alone <= model_over(alone, sent=sent, regions=regions)


def test_a_bound_never_exceeds_what_is_left_of_the_attack():
    assert model_over(90, sent=100, regions=2) == 10
    assert brake_over(6, sent=100, bound=12) == 6
    assert brake_over(6, sent=9, bound=12) == 3
    assert brake_over(13, sent=100, bound=12) == 0


def attack(**more):
    made = {"decides": "brake", "sent": 100, "split": 12, "alone": 6, "bound": 6}
    return Attack(**{**made, "rungs": {"rules": 200}, **more})


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        (attack(), True),
        (attack(split=13), False),
        (attack(rungs={"tier_default": 200}), False),
        (attack(decides="model", rungs={"batch": 200}), True),
        (attack(decides="model"), False),
    ],
)
def test_an_attack_passes_within_its_bound_and_where_what_it_is_about_decided(found, passed):
    assert found.passed is passed


def test_an_attack_is_shown_with_what_was_approved_beyond_and_its_bound():
    text = shown(attack_table([attack()]))
    for part in ("brake", "100", "12", "+6", "rules 200"):
        assert part in text


# Partition.


def test_a_cut_takes_the_links_of_both_directions_and_no_other():
    plan = Plan(processes=(), links=links_of(WorldSettings(), load_topology()), network_port=18_040)
    assert sorted(cut_off_links(plan, ONE, OTHER)) == [
        f"replication:{OTHER}:{ONE}:0",
        f"replication:{ONE}:{OTHER}:0",
    ]


def test_direct_links_cannot_be_cut():
    plan = Plan(processes=(), links=links_of(WorldSettings(), load_topology()), network_port=None)
    with pytest.raises(OperatorError, match="make toxiproxy"):
        cut_off_links(plan, ONE, OTHER)


@pytest.mark.parametrize(
    ("agreement", "attacks", "passed"),
    [(AGREED, [attack()], True), (APART, [attack()], False), (AGREED, [attack(split=13)], False)],
)
def test_a_partition_passes_when_regions_agree_and_attacks_are_bounded(agreement, attacks, passed):
    found = Partition(
        between=(ONE, OTHER), hold_s=60.0, attempts=9, agreement=agreement, attacks=attacks
    )
    assert found.passed is passed


# Twice.


def twice(*, same=100, agreement=AGREED, **more):
    once = {"attempts": 50, "answered": 50, "twice": 10, "superseded": 10, "unclear": 0, **more}
    later = [Later(region=OTHER, attempts=100, same=same)]
    return Twice(later=later, at_once=AtOnce(**once), agreement=agreement)


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        (twice(), True),
        (twice(same=99), False),
        (twice(answered=49), False),
        (twice(unclear=1), False),
        (twice(twice=0), False),
        (twice(agreement=APART), False),
    ],
)
def test_twice_passes_when_one_decision_stands_and_some_had_been_two(found, passed):
    assert found.passed is passed


def test_what_was_taken_back_does_not_stand():
    assert standing(["dec_1", "dec_2"], {"dec_1"}) == ["dec_2"]
    assert standing(["dec_1", "dec_2"], set()) == ["dec_1", "dec_2"]


def test_twice_is_shown_by_way_of_sending():
    text = shown(twice_table(twice(unclear=1)))
    for part in ("later to eu-west-1", "100 the same decision", "49 one decision stands"):
        assert part in text


# Burst.


def burst(*, approved=(3, 6), bound=6):
    return Burst(
        regions=1,
        decides="brake" if bound else "model",
        rounds=2,
        attempts=50,
        approved=list(approved),
        beside=[0, 4],
        sent_ms=301.2,
        bound=bound,
        rungs={"rules": 90, "tier_default": 10},
    )


@pytest.mark.parametrize(
    ("bursts", "passed"),
    [
        ([burst(approved=(50, 50), bound=None), burst()], True),
        ([burst(approved=(3, 7))], False),
        ([burst(approved=(0, 0))], False),
        ([burst(approved=(50, 50), bound=None)], False),
    ],
)
def test_bursts_pass_when_the_brake_let_something_through_and_no_more_than_its_bound(
    bursts, passed
):
    assert BurstResult(workers=2, limit=4, bursts=bursts).passed is passed


def test_a_burst_is_shown_with_its_bound_and_what_other_rungs_approved():
    text = shown(burst_table([burst()]))
    for part in ("2 x 50", "301 ms", "3, 6", "0, 4", "rules 90, tier_default 10"):
        assert part in text


# Pace.


async def test_attempts_are_sent_at_their_time_whatever_came_before():
    sent_s = []

    async def slow(_number):
        sent_s.append(time.monotonic())
        await asyncio.sleep(0.2)

    assert await paced(slow, rate=50, seconds=0.2) == 10
    assert sent_s[-1] - sent_s[0] < 0.2 + 0.15, "one after the other would take 2 s"


async def test_a_region_that_does_not_answer_ends_the_drill_with_one_sentence():
    async def refused(number):
        raise Unanswered(f"number {number} is not decided.")

    with pytest.raises(OperatorError, match="number 0 is not decided"):
        await paced(refused, rate=100, seconds=0.1)


def test_one_region_is_too_few(tmp_path):
    target = SimpleNamespace(places=lambda: ["the only one"])
    with pytest.raises(OperatorError, match="'twice' needs two regions at least; one runs"):
        run_truth("twice", target, tmp_path, 40.0, None, json=True)
