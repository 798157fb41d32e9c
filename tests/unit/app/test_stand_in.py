"""What lower rungs may approve: by rung and tier, shared by a host's workers, and never an error."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest

from app.api.wire import Attempt
from app.budget import StandInBudget, StandInWeights
from app.candidate import Candidate, entity_ids
from app.features.directory import MerchantEntry
from app.policy import DEFAULT_POLICY, load_policy
from app.record.reasons import STAND_IN_BUDGET, STAND_IN_CARD
from app.stand_in import StandIn
from app.telemetry import Telemetry
from fallback.clock import ManualClock
from fallback.exposure import WINDOW_S
from fallback.rung import RungName

POLICY = load_policy(DEFAULT_POLICY)


def policy_of(budget=1_000, instrument=10_000, **weights):
    stand_in = StandInBudget(budget_hourly=budget, instrument_hourly=instrument)
    tiers = {name: replace(tier, stand_in=stand_in) for name, tier in POLICY.tiers.items()}
    return replace(POLICY, tiers=tiers, weights=StandInWeights(**weights))


def candidate_of(amount=400, card="tok_12345", tier="standard", tenant="acme"):
    attempt = msgspec.convert(
        {
            "attempt_id": "a1",
            "amount": {"value": 1, "currency": "USD"},
            "merchant": {"id": "mer_1"},
            "instrument": {"token": card},
        },
        Attempt,
    )
    return Candidate(
        attempt=attempt,
        tenant=tenant,
        received_ms=0,
        amount_ref=amount,
        merchant=None if tier is None else MerchantEntry(tier=tier, category="b", country="DE"),
        ids=entity_ids(attempt),
        velocity={},
    )


class Host:
    """The workers of one host."""

    def __init__(self, folder, policy=None, *, hosts=1, workers=2):
        self.path = folder / "stand-in.ledger"
        self.policy = policy or policy_of()
        self.clock = ManualClock(5_000.0)
        self.telemetry = Telemetry()
        self.workers = [
            StandIn(
                self.path,
                hosts=hosts,
                workers=workers,
                policy=lambda: self.policy,
                clock=self.clock,
                identity=lambda: 7,
                telemetry=self.telemetry,
            )
            for _ in range(workers)
        ]

    def ask(self, *, worker=0, rung=RungName.RULES, **facts):
        return self.ask_all((candidate_of(**facts), rung), worker=worker)[0]

    def ask_all(self, *approvals, worker=0):
        return self.workers[worker].withheld(approvals, self.policy)

    def used(self, worker=0):
        return self.workers[worker].exposure().tiers["standard"].used

    def counted(self, why):
        return self.telemetry.counters[f"stand_in_withheld\0{why}"]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_workers_of_a_host_take_from_one_budget(host):
    assert [host.ask(worker=n % 2) for n in range(3)] == [None, None, STAND_IN_BUDGET]
    assert host.used(0) == host.used(1) == 800
    assert host.counted("tier") == 1


def test_a_host_has_an_equal_share_of_the_fleet_s_budget(tmp_path):
    host = Host(tmp_path, hosts=3)
    assert host.ask(amount=333) is None
    assert host.ask(amount=1) == STAND_IN_BUDGET
    tier = host.workers[0].exposure().tiers["standard"]
    assert (tier.budget, tier.share, tier.bound) == (1_000, 333, 999)


def test_one_instrument_has_a_cap_that_is_a_tenant_s_own(tmp_path):
    host = Host(tmp_path, policy_of(instrument=500))
    assert [host.ask(), host.ask()] == [None, STAND_IN_CARD]
    assert host.ask(tenant="other") is None
    assert host.counted("instrument") == 1


def test_the_budget_comes_back_as_its_hour_passes(host):
    host.ask(amount=1_000)
    assert host.ask() == STAND_IN_BUDGET
    host.clock.advance(WINDOW_S + 300)
    assert host.ask() is None


@pytest.mark.parametrize("rung", [RungName.RULES, RungName.TIER_DEFAULT])
def test_rules_and_tier_default_count_whole(host, rung):
    assert [host.ask(rung=rung, amount=501) for _ in range(2)] == [None, STAND_IN_BUDGET]


@pytest.mark.parametrize("rung", [RungName.FULL, RungName.BATCH])
def test_full_stands_in_for_nobody_and_batch_has_no_bound_by_default(host, rung):
    assert host.ask(rung=rung, amount=10**9) is None
    assert host.used() == 0


def test_a_rung_s_weight_says_how_much_of_an_amount_counts(tmp_path):
    host = Host(tmp_path, policy_of(batch=0.25))
    assert host.ask(rung=RungName.BATCH, amount=1_001) is None
    assert host.used() == 251


def test_a_tier_without_a_budget_has_no_bound_and_shows_none(host):
    host.policy = POLICY.__class__(
        version=1,
        tiers={name: replace(tier, stand_in=None) for name, tier in POLICY.tiers.items()},
        standing=POLICY.standing,
    )
    assert host.ask(amount=10**12) is None
    assert host.workers[0].exposure().tiers == {}


@pytest.mark.parametrize("tier", [None, "made-up-1", "made-up-2"])
def test_a_tier_that_the_policy_does_not_know_takes_from_unknown(host, tier):
    host.ask(tier=None, amount=900)
    assert host.ask(tier=tier, amount=101) == STAND_IN_BUDGET


def test_an_amount_without_a_rate_counts_as_a_high_one(host):
    assert host.ask(amount=None) == STAND_IN_BUDGET
    host.policy = policy_of(budget=POLICY.tiers["standard"].amount_high, instrument=10**9)
    assert host.ask(amount=None) is None


def test_without_the_file_each_worker_keeps_a_part_of_the_share_to_itself(tmp_path):
    (tmp_path / "stand-in.ledger").mkdir()
    host = Host(tmp_path, policy_of(instrument=600))
    assert [host.ask(worker=n, amount=300) for n in (0, 1)] == [None, None]
    assert host.ask(worker=0, amount=201, card="tok_other") == STAND_IN_BUDGET
    assert host.ask(worker=0, amount=1) == STAND_IN_CARD
    exposure = host.workers[0].exposure()
    tier = exposure.tiers["standard"]
    assert (exposure.shared, tier.share, tier.bound, tier.instrument) == (False, 500, 1_000, 600)
    assert "cannot be shared" in host.workers[0].refused


def test_the_file_is_shared_again_once_it_can_be(tmp_path):
    (tmp_path / "stand-in.ledger").mkdir()
    host = Host(tmp_path)
    assert not host.workers[0].refresh(), "nothing has changed"
    (tmp_path / "stand-in.ledger").rmdir()
    assert all(worker.refresh() for worker in host.workers)
    assert host.workers[0].refused is None
    assert host.ask(worker=0, amount=1_000) is None
    assert host.ask(worker=1, amount=1) == STAND_IN_BUDGET


def test_workers_meet_in_a_new_file_after_theirs_was_removed(host):
    host.ask(amount=1_000)
    host.path.unlink()
    assert host.ask(amount=1) == STAND_IN_BUDGET, "until it is looked at again, as before"
    assert all(worker.refresh() for worker in host.workers)
    assert not any(worker.refresh() for worker in host.workers)
    assert host.ask(worker=0, amount=1_000) is None
    assert host.ask(worker=1, amount=1) == STAND_IN_BUDGET


def test_a_lock_that_is_not_to_be_had_withholds_the_approval(host):
    with host.path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert host.ask() == STAND_IN_BUDGET
    assert host.counted("lock") == 1
    assert host.ask() is None


def test_a_bug_withholds_the_approval_and_is_counted(host):
    broken = SimpleNamespace(weights=None)
    approval = (candidate_of(), RungName.RULES)
    assert host.workers[0].withheld([approval], broken) == [STAND_IN_BUDGET]
    assert host.telemetry.counters["bugs\0stand_in"] == 1


def test_approvals_together_take_one_after_the_other_until_there_is_no_room(tmp_path):
    host = Host(tmp_path, policy_of(batch=0.5))
    approvals = [
        (candidate_of(amount=amount, card=card), rung)
        for amount, card, rung in (
            (600, "tok_00001", RungName.RULES),
            (500, "tok_00002", RungName.RULES),
            (10**9, "tok_00003", RungName.FULL),
            (800, "tok_00004", RungName.BATCH),
            (1, "tok_00005", RungName.TIER_DEFAULT),
        )
    ]
    assert host.ask_all(*approvals) == [None, STAND_IN_BUDGET, None, None, STAND_IN_BUDGET]
    assert host.used() == 1_000
    assert host.ask_all() == []


def test_of_approvals_together_a_bug_in_one_withholds_that_one(host):
    spoiled = (SimpleNamespace(tier="standard"), RungName.RULES)
    approvals = [(candidate_of(), RungName.RULES), spoiled, (candidate_of(), RungName.RULES)]
    assert host.ask_all(*approvals) == [None, STAND_IN_BUDGET, None]
    assert host.telemetry.counters["bugs\0stand_in"] == 1
    assert host.used() == 800


def test_a_lock_that_is_not_to_be_had_withholds_what_needs_it_and_no_more(host):
    approvals = [(candidate_of(), rung) for rung in (RungName.RULES, RungName.FULL, RungName.RULES)]
    with host.path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert host.ask_all(*approvals) == [STAND_IN_BUDGET, None, STAND_IN_BUDGET]
    assert host.counted("lock") == 2
