"""Is what lower rungs approve within the printed bound, whatever is taken away under load?

Two regions of two workers each, without datastores, in a home of their own: two hosts with a
ledger each. The model is withdrawn, then the rules as well, and attempts go to both regions all
the while. What was approved is counted in the journals, not by those who hold the budget. The
ledgers are new, so everything approved falls within their first hour.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from app.bootstrap import ensure_published
from app.features.sets import feature_set
from app.models.training.history import load_history
from app.policy import DEFAULT_POLICY, Policy, load_policy
from app.record.decision import decode_record
from app.record.frames import Kind
from app.record.ring_file import wait_until_written
from app.registry import Registry
from app.streams.journal_tail import JournalTail
from chaos.bench.region import PORT_OFFSET, furnish
from chaos.faults import file_gone
from chaos.load import Load
from fallback.rung import Action, RungName
from regions.topology import load_topology
from regions.world.embedded import embedded_plan
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.plan import Plan
from regions.world.settings import WorldSettings

__all__ = ["ExposureResult", "TierResult", "run_exposure"]

REGIONS = ("us-east-1", "eu-west-1")
WORKERS = 2
BODIES = 60
READY_S, SETTLE_S, IN_A_ROW = 60.0, 10.0, 10
PARTS = ("operations", "scorer")
STANDING_IN = (RungName.RULES, RungName.TIER_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierResult:
    """What became of a tier's approvals by lower rungs; minor units of the reference currency.

    Attributes:
        bound: the most that may be approved; None without a budget.
        approved: by all hosts.
        withheld: what they would have approved beyond that.
    """

    bound: int | None
    approved: int
    withheld: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureResult:
    """A whole run.

    Attributes:
        hosts: with a ledger each.
        workers: on each host.
        budget: of each tier, by the fleet.
        tiers: by name; those that had attempts.
        instrument_excess: by how much any instrument was approved more than its cap at a host.
        rungs: answers by rung.
        requests: attempts.
        failures: those without a valid decision in time, by what went wrong.
        unsettled: steps whose rung never answered.
    """

    hosts: int
    workers: int
    budget: int
    tiers: dict[str, TierResult]
    instrument_excess: int
    rungs: dict[str, int]
    requests: int
    failures: dict[str, int]
    unsettled: list[str]

    @property
    def unanswered(self) -> int:
        """Attempts without a valid decision; how late one may be is not this drill's question."""
        return sum(count for what, count in self.failures.items() if what != "late")

    @property
    def within(self) -> bool:
        """Whether nothing was approved past a bound."""
        tiers = self.tiers.values()
        bounded = all(tier.approved <= self.budget for tier in tiers)
        return bounded and self.instrument_excess <= 0

    @property
    def passed(self) -> bool:
        """Whether that, and the load was enough to tell."""
        told = any(tier.approved + tier.withheld > self.budget for tier in self.tiers.values())
        return self.within and told and not self.unanswered and not self.unsettled


def run_exposure(
    base: Path,
    settings: WorldSettings,
    *,
    rate: float,
    hold_s: float,
    budget: int,
    bounded: bool = True,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> ExposureResult:
    """Run it.

    Args:
        base: home folder whose models, keys and simulated history are used; made where missing.
        settings: of the local world; its ports, moved by `PORT_OFFSET`, are used.
        rate: attempts a second at each region.
        hold_s: how long each lower rung answers.
        budget: of each tier, an hour, by both hosts; minor units of the reference currency.
        bounded: False takes the budgets out of the policy, to see what they are for.
        report: told the share done and what is being done.
    """
    ensure_published(base, REGIONS[0], feature_set("reference"), report)
    with tempfile.TemporaryDirectory(prefix="stepdown-exposure-") as home:
        own = WorldSettings(
            home=Path(home),
            port_base=settings.port_base + PORT_OFFSET,
            workers=WORKERS,
            regions=REGIONS,
        )
        with _fleet(base, own, _policy_file(budget if bounded else None)):
            loads = [_load(base, own, region, rate) for region in REGIONS]
            unsettled = asyncio.run(_withdraw(loads, own.home, hold_s, report))
        return _result(own.home, loads, budget, unsettled)


@contextmanager
def _fleet(base: Path, own: WorldSettings, policy: str) -> Iterator[None]:
    """Scorers of every region, and who gathers their metrics; nothing else."""
    for region in own.regions:
        furnish(base, own.home, REGIONS[0], into=region)
        (own.home / region / "published" / "policy.yaml").write_text(policy, encoding="utf-8")
    full = embedded_plan(own, load_topology())
    plan = Plan(
        processes=tuple(one for one in full.processes if one.name.partition("/")[2] in PARTS)
    )
    check_ports(plan)
    try:
        with claim(own.home) as claimed:
            world = claimed.launch(plan)
        wait_until_ready(world, timeout_s=READY_S, on_status=lambda _status: None)
        yield
    finally:
        bring_down(own.home)


async def _withdraw(
    loads: list[Load], home: Path, hold_s: float, report: Callable[[float, str], None]
) -> list[str]:
    """Take away the model, then the rules; the steps whose rung never answered."""
    steps = {RungName.RULES: "model/current", RungName.TIER_DEFAULT: "rules/rules.yaml"}
    unsettled = []
    async with AsyncExitStack() as running:
        taken = running.enter_context(ExitStack())
        for load in loads:
            await running.enter_async_context(load.running())
        for number, (rung, what) in enumerate(steps.items()):
            for region in REGIONS:
                taken.enter_context(file_gone(home / region / "published" / what))
            report(number / len(steps), f"{what} is withdrawn: {rung}")
            settled = await asyncio.gather(*(_settle(load, rung) for load in loads))
            if None in settled:
                unsettled.append(rung.value)
            await asyncio.sleep(hold_s)
    report(1.0, "counting in the journals")
    return unsettled


async def _settle(load: Load, rung: RungName) -> float | None:
    return await load.wait_for(
        lambda outcome: outcome.rung == rung, in_a_row=IN_A_ROW, timeout_s=SETTLE_S
    )


def _load(base: Path, own: WorldSettings, region: str, rate: float) -> Load:
    """The last attempts of the simulated history, again and again: some instruments often."""
    history = load_history(Registry(base).data)
    rows = np.arange(max(0, len(history) - BODIES), len(history))
    port = load_topology().ports(region, own.port_base).api
    return Load(
        f"http://{own.connect_host}:{port}",
        key=Registry(base).dev_key.read_text("ascii").strip(),
        bodies=list(history.take(rows).documents()),
        rate=rate,
        keep_alive=False,  # so that attempts are spread over all workers
    )


def _policy_file(budget: int | None) -> str:
    """The default policy with this budget at every tier; None: without any."""
    document: dict[str, Any] = yaml.safe_load(DEFAULT_POLICY.read_text("utf-8"))
    for tier in document["tiers"].values():
        if budget is None:
            del tier["stand_in"]
        else:
            tier["stand_in"]["budget_hourly"] = budget
    return yaml.safe_dump(document)


def _result(home: Path, loads: list[Load], budget: int, unsettled: list[str]) -> ExposureResult:
    policy = load_policy(home / REGIONS[0] / "published" / "policy.yaml")
    caps = load_policy(DEFAULT_POLICY)
    approved: Counter[str] = Counter()
    withheld: Counter[str] = Counter()
    excess = 0
    for region in REGIONS:
        excess = max(excess, _count(home / region / "journal", caps, approved, withheld))
    outcomes = [outcome for load in loads for outcome in load.outcomes]
    bound = budget // len(REGIONS) * len(REGIONS)
    return ExposureResult(
        hosts=len(REGIONS),
        workers=WORKERS,
        budget=bound,
        tiers={
            name: TierResult(
                bound=None if policy.tiers[name].stand_in is None else bound,
                approved=approved[name],
                withheld=withheld[name],
            )
            for name in sorted(approved.keys() | withheld.keys())
        },
        instrument_excess=excess,
        rungs=dict(Counter(outcome.rung or "none" for outcome in outcomes)),
        requests=len(outcomes),
        failures=dict(Counter(one.failure for one in outcomes if one.failure is not None)),
        unsettled=unsettled,
    )


def _count(journal: Path, caps: Policy, approved: Counter[str], withheld: Counter[str]) -> int:
    """Add a host's approvals by tier; by how much an instrument exceeds the largest cap it met."""
    instruments: Counter[str] = Counter()
    most: dict[str, int] = {}
    wait_until_written(journal)
    tail = JournalTail(journal)
    while records := tail.read(1_000):
        for record in records:
            if record.kind is not Kind.DECISION:
                continue
            decision = decode_record(record.payload)
            if decision.rung not in STANDING_IN:
                continue
            name = caps.tier_name(decision.merchant["tier"])
            if decision.withheld is not None:
                withheld[name] += decision.amount_ref
            elif decision.action == Action.APPROVE:
                approved[name] += decision.amount_ref
                stand_in, card = caps.tiers[name].stand_in, decision.entities["card"]
                assert stand_in is not None
                instruments[card] += decision.amount_ref
                most[card] = max(most.get(card, 0), stand_in.instrument_hourly)
    return max((total - most[card] for card, total in instruments.items()), default=0)
