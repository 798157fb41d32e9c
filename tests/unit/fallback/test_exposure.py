"""Stand-in exposure: never more than the limit within any hour, and what that costs."""

from __future__ import annotations

import random

import pytest

from fallback.clock import ManualClock
from fallback.exposure import CELLS, WINDOW_S, Ledger, Limit, Spent

TIER, CARD = 11, 22
START_S = 1_000_000.0


class Host:
    """A ledger on cells of its own, at a time that a test moves."""

    def __init__(self):
        self.clock = ManualClock(START_S)
        self.cells = memoryview(bytearray(8 * CELLS)).cast("q")
        self.ledger = Ledger(self.cells, clock=self.clock)

    def take(self, amount, *, tier=TIER, card=CARD, tier_max=1_000, card_max=10**9):
        limit = Limit(tier=tier_max, instrument=card_max)
        return self.ledger.take(tier=tier, instrument=card, amount=amount, limit=limit)


@pytest.fixture
def host():
    return Host()


def test_a_tier_is_approved_up_to_its_limit_and_not_one_unit_more(host):
    assert host.take(600) is None
    assert host.take(401) is Spent.TIER
    assert host.take(400) is None
    assert host.take(1) is Spent.TIER
    assert host.ledger.used(TIER) == 1_000


def test_an_instrument_is_approved_up_to_its_cap_at_all_tiers_together(host):
    assert host.take(60, card_max=100) is None
    assert host.take(60, tier=TIER + 1, card_max=100) is Spent.INSTRUMENT
    assert host.take(60, card=CARD + 1, card_max=100) is None


def test_what_has_no_room_takes_none(host):
    host.take(60, card_max=100)
    assert host.take(60, card_max=100) is Spent.INSTRUMENT
    assert host.take(2_000) is Spent.TIER
    assert host.ledger.used(TIER) == 60


def test_a_tier_s_use_is_no_other_tier_s(host):
    assert host.take(1_000) is None
    assert host.take(1_000, tier=TIER + 1) is None
    assert host.ledger.used(TIER + 2) == 0


def test_the_budget_is_not_back_before_an_hour_and_is_five_minutes_later(host):
    host.take(1_000)
    host.clock.advance(WINDOW_S)
    assert host.take(1) is Spent.TIER
    host.clock.advance(300)
    assert host.ledger.used(TIER) == 0
    assert host.take(1_000) is None


def test_an_instrument_s_cap_is_not_back_before_an_hour_and_is_a_quarter_later(host):
    host.take(100, card_max=100)
    host.clock.advance(WINDOW_S)
    assert host.take(1, card_max=100) is Spent.INSTRUMENT
    host.clock.advance(900)
    assert host.take(100, card_max=100) is None


@pytest.mark.parametrize("seed", range(5))
def test_no_hour_holds_more_than_the_limits(host, seed):
    rng = random.Random(seed)
    approved = []
    for _ in range(4_000):
        host.clock.advance(rng.expovariate(1 / 8))
        card, amount = rng.randrange(1, 40), rng.randrange(60)
        if host.take(amount, card=card, card_max=100) is None:
            approved.append((host.clock.monotonic(), card, amount))
    assert len(approved) > 200
    for at, card, _ in approved:
        hour = [one for one in approved if at - WINDOW_S <= one[0] <= at]
        assert sum(amount for _, _, amount in hour) <= 1_000
        assert sum(amount for _, own, amount in hour if own == card) <= 100


def test_an_instrument_is_never_counted_too_low_and_seldom_too_high(host):
    rng = random.Random(3)
    cards = [rng.getrandbits(62) + 1 for _ in range(8_000)]
    for card in cards:
        assert host.take(10, card=card, tier_max=10**9) is None
    over = sum(host.take(90, card=card, tier_max=10**9, card_max=100) is not None for card in cards)
    assert 0 < over < 8_000 * 0.01  # (16,000 / 65,536) ** 3 at the end, less at the beginning
    assert all(host.take(1, card=card, tier_max=10**9, card_max=100) for card in cards)


def test_a_smaller_limit_holds_for_what_was_approved_before(host):
    host.take(800)
    assert host.take(1, tier_max=500) is Spent.TIER


def test_a_process_that_was_a_moment_late_adds_to_the_newest_bucket(host):
    late = Ledger(host.cells, clock=ManualClock(START_S - 1))
    host.take(600)
    limit = Limit(tier=1_000, instrument=10**9)
    assert late.take(tier=TIER, instrument=CARD, amount=400, limit=limit) is None
    assert host.take(1) is Spent.TIER


@pytest.mark.parametrize("junk", [2**62, -(2**62)])
def test_cells_that_nobody_could_have_written_are_void(host, junk):
    host.take(1_000)
    for at in range(1, 15):
        host.cells[at] = junk
    assert host.take(1_000) is None
    assert host.take(1) is Spent.TIER


def test_a_tier_without_a_slot_has_no_budget_until_one_is_idle_for_an_hour(host):
    for tier in range(1, 65):
        assert host.take(1, tier=tier) is None
    assert host.take(1, tier=65) is Spent.TIER
    host.clock.advance(WINDOW_S + 300)
    assert host.take(1_000, tier=65) is None
    assert host.ledger.used(65) == 1_000


def test_a_ledger_takes_no_cells_of_another_layout():
    with pytest.raises(ValueError, match="a ledger has"):
        Ledger(memoryview(bytearray(80)).cast("q"), clock=ManualClock())
