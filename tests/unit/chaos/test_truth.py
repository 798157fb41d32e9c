"""What counters must hold of what was sent, and what is found where they do not."""

from __future__ import annotations

import random

import pytest
from rich.console import Console

from app.features.packed import distinct_bit
from app.features.reference import REFERENCE
from app.features.spec import Entity
from chaos.checkout import Population
from chaos.truth import Agreement, Truth, Wrong, compared, differences
from chaos.truth_table import agreement_said

TEMPLATE = {
    "attempt_id": "a",
    "amount": {"value": 4_900, "currency": "USD"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_one_1", "bin": "41522629"},
}


def attempt(amount=100, *, card="tok_one_1", device="dev_1", merchant="mer_1"):
    return {
        **TEMPLATE,
        "amount": {"value": amount, "currency": "USD"},
        "instrument": {"token": card},
        "merchant": {"id": merchant},
        "device": {"id": device},
    }


@pytest.fixture
def truth():
    return Truth(REFERENCE)


def test_attempts_count_once_each_for_every_entity_and_window(truth):
    for body in (attempt(100), attempt(50), attempt(7, card="tok_two_2")):
        truth.add(body)
    counts = truth.counts()
    card = counts[Entity.CARD, "tok_one_1"]
    assert (card["card_attempted_1h"], card["card_attempted_24h"]) == (2, 2)
    assert (card["card_amount_24h"], card["card_squares_30d"]) == (150, 12_500)
    assert counts[Entity.MERCHANT, "mer_1"] == {"merchant_attempted_1h": 3}
    assert truth.attempts == 3


def test_distinct_counters_hold_the_bits_that_differ(truth):
    one, other = next(
        (f"dev_{a}", f"dev_{a + 1}")
        for a in range(100)
        if distinct_bit(f"dev_{a}") != distinct_bit(f"dev_{a + 1}")
    )
    for device in (one, other, one):
        truth.add(attempt(device=device))
    assert truth.counts()[Entity.CARD, "tok_one_1"]["card_devices_24h"] == 2


def test_nothing_is_said_of_ids_that_others_send_too():
    truth = Truth(REFERENCE, shared=["mer_1"])
    truth.add(attempt())
    assert (Entity.MERCHANT, "mer_1") not in truth.counts()
    assert (Entity.CARD, "tok_one_1") in truth.counts()


def test_what_cannot_be_known_from_outside_is_not_compared():
    names = {counter.name for counter in compared(REFERENCE)}
    assert {"card_attempted_30d", "card_devices_24h", "ip_attempted_1h"} <= names
    assert not names & {"card_last", "card_large_3d", "merchant_fraud_7d", "merchant_matured_7d"}


def test_a_counter_that_lacks_an_attempt_or_cannot_be_read_is_wrong():
    key, other = (Entity.CARD, "tok_one_1"), (Entity.CARD, "tok_two_2")
    sent = {key: {"card_attempted_24h": 5.0, "card_amount_24h": 9.0}, other: {"n": 1.0}}
    read = {key: {"card_attempted_24h": 4.0, "card_amount_24h": 9.0}}
    found = differences("here", sent, read)
    assert [(one.counter, one.sent, one.read) for one in found] == [
        ("card_attempted_24h", 5.0, 4.0),
        ("n", 1.0, None),
    ]


@pytest.mark.parametrize(
    ("more", "passed"), [({}, True), ({"wrong": 1}, False), ({"counters": 0}, False)]
)
def test_regions_agree_when_something_was_compared_and_nothing_is_wrong(more, passed):
    made = {"entities": 1, "counters": 9, "equal_s": {}, "lost": 0, "twice": 0, "wrong": 0}
    assert Agreement(**{**made, **more}).passed is passed


def test_what_is_wrong_is_said_with_both_numbers():
    wrong = Wrong(region="here", entity="card", id="tok_one_1", counter="n", sent=5.0, read=4.0)
    found = Agreement(
        entities=1,
        counters=2,
        equal_s={"here": None, "there": 1.25},
        lost=1,
        twice=0,
        wrong=1,
        examples=[wrong],
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(agreement_said(found))
    for part in (
        "here never",
        "there after 1.2 s",
        "1 attempts lost",
        "n of tok_one_1 is 4, 5 was",
    ):
        assert part in captured.get()


def test_attempts_of_a_population_share_its_ids_and_no_attempt_id():
    population = Population.of(TEMPLATE, cards=8, rng=random.Random(1))
    bodies = [population.attempt() for _ in range(200)]
    assert {body["instrument"]["token"] for body in bodies} == set(population.ids["tok"])
    assert len({body["attempt_id"] for body in bodies}) == 200
    assert all(50 <= body["amount"]["value"] <= 150 for body in bodies)


def test_an_attack_is_on_one_card_that_nobody_else_has():
    population = Population.of(TEMPLATE, cards=8, rng=random.Random(1))
    attack = population.attack()
    tried = [attack() for _ in range(3)]
    (card,) = {body["instrument"]["token"] for body in tried}
    assert card not in population.ids["tok"]
    assert {body["merchant"]["id"] for body in tried} == {"mer_1"}
