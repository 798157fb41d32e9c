"""Whether a lower rung may still approve, on this host: see `fallback/exposure.py`.

| what fails | then |
|---|---|
| the file is missing or holds something else | made anew, with a whole share |
| the file cannot be used | each worker keeps a part of the share in its own memory |
| the lock is not to be had within 2 ms | those approvals are withheld |
| a bug | that approval is withheld |

So the fleet approves within any hour at most the budget, and one share more for each host or file
that was made anew within it.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from app.budget import StandInBudget
from app.candidate import Candidate
from app.features.spec import Entity
from app.ledger_file import LedgerFile, LedgerUnavailableError, LockBusyError
from app.policy import Policy
from app.record.reasons import STAND_IN_BUDGET, STAND_IN_CARD
from app.telemetry import Exposure, Telemetry, TierExposure
from app.verdict import priced
from fallback.clock import Clock
from fallback.exposure import CELLS, WINDOW_S, Ledger, Limit, Spent
from fallback.rung import RungName

__all__ = ["StandIn"]

log = logging.getLogger(__name__)

_Lock = Callable[[], AbstractContextManager[None]]


class _Take(NamedTuple):
    """What an approval takes: of a tier's budget and of an instrument's cap, by their names."""

    tier: str
    instrument: str
    amount: int
    budget: StandInBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A ledger in use.

    Attributes:
        ledger: the cells.
        lock: their lock.
        hosts: that share a tier's budget.
        parts: that this host's share is cut into: 1 where all its workers count together.
        file: it lies in; None for this process's own memory.
    """

    ledger: Ledger
    lock: _Lock
    hosts: int
    parts: int
    file: LedgerFile | None

    def limit(self, budget: StandInBudget) -> Limit:
        """What it may hold at a tier."""
        return Limit(
            tier=budget.budget_hourly // (self.hosts * self.parts),
            instrument=budget.instrument_hourly // self.parts,
        )

    def exposed(self, name: str, budget: StandInBudget) -> TierExposure:
        """How a tier stands."""
        limit = self.limit(budget)
        return TierExposure(
            budget=budget.budget_hourly,
            share=limit.tier,
            used=self.ledger.used(_key(name)),
            bound=limit.tier * self.hosts * self.parts,
            instrument=limit.instrument * self.parts,
        )


class StandIn:
    """The approvals of this process's lower rungs, within what its host may approve.

    Attributes:
        error: why the host's ledger is not shared; None while it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        hosts: int,
        workers: int,
        policy: Callable[[], Policy],
        clock: Clock,
        identity: Callable[[], int],
        telemetry: Telemetry,
    ) -> None:
        """Open the host's ledger.

        Args:
            path: of its file.
            hosts: of the fleet, in all regions; each has an equal share of a tier's budget.
            workers: of this host; without the file each has an equal part of the share.
            policy: gives the policy in force.
            clock: one that all workers of the host share.
            identity: of that clock.
            telemetry: where what was withheld is counted, by what had no room.
        """
        self._path = path
        self._hosts = hosts
        self._workers = workers
        self._policy = policy
        self._clock = clock
        self._identity = identity
        self._telemetry = telemetry
        self.error: str | None = None
        self._held = self._open() or self._private()

    def withheld(
        self, approvals: Sequence[tuple[Candidate, RungName]], policy: Policy
    ) -> list[str | None]:
        """Enter approvals of rungs, in order, those that there is room for.

        Returns:
            Of each, None where the approval stands, or the reason code for which it is withheld.
            Never raises.
        """
        found: list[str | None] = [None] * len(approvals)
        takes: dict[int, _Take] = {}
        for at, (candidate, rung) in enumerate(approvals):
            try:
                take = _take_of(candidate, rung, policy)
            except Exception as error:  # noqa: BLE001 - a bug costs an approval, never the answer
                found[at] = self._bug(error)
            else:
                if take is not None:
                    takes[at] = take
        if not takes:
            return found
        held = self._held
        try:
            with held.lock():  # once for all of them: two calls of the kernel
                for at, take in takes.items():
                    found[at] = self._entered(held, take)
        except LockBusyError:
            self._telemetry.count("stand_in_withheld", "lock", by=len(takes))
            found = _withheld_all(found, takes)
        except Exception as error:  # noqa: BLE001 - as above
            found = _withheld_all(found, takes)
            self._bug(error)
        return found

    def refresh(self) -> bool:
        """Look whether the file is still the one that is shared. Returns whether that changed."""
        held = self._held
        if held.file is not None and held.file.in_place():
            return False
        opened = self._open()
        if opened is None and held.file is None:
            return False
        self._held = opened or self._private()
        return True

    @property
    def refused(self) -> str | None:
        """Why the host's ledger is not shared."""
        return self.error

    def exposure(self) -> Exposure:
        """What may be approved and what has been, by tier."""
        held, policy = self._held, self._policy()
        return Exposure(
            window_s=WINDOW_S,
            hosts=self._hosts,
            shared=held.file is not None,
            weights={rung.value: policy.weights.of(rung) for rung in RungName},
            tiers={
                name: held.exposed(name, tier.stand_in)
                for name, tier in policy.tiers.items()
                if tier.stand_in is not None
            },
        )

    def _entered(self, held: _Held, take: _Take) -> str | None:
        """Enter an approval; the code for which it is withheld where there is no room."""
        try:
            spent = held.ledger.take(
                tier=_key(take.tier),
                instrument=_key(take.instrument),
                amount=take.amount,
                limit=held.limit(take.budget),
            )
        except Exception as error:  # noqa: BLE001 - of this one, not of the others
            return self._bug(error)
        if spent is None:
            return None
        self._telemetry.count("stand_in_withheld", spent.value)
        return STAND_IN_CARD if spent is Spent.INSTRUMENT else STAND_IN_BUDGET

    def _bug(self, error: Exception) -> str:
        """A bug is logged and counted; the code that an approval is withheld for."""
        log.error("bug in stand_in", exc_info=error)
        self._telemetry.count("bugs", "stand_in")
        return STAND_IN_BUDGET

    def _open(self) -> _Held | None:
        """The host's ledger, or None and why not."""
        try:
            file = LedgerFile(self._path, identity=self._identity())
        except (LedgerUnavailableError, OSError) as error:
            self.error = str(error)
            return None
        self.error = None
        ledger = Ledger(file.cells, clock=self._clock)
        return _Held(ledger=ledger, lock=file.locked, hosts=self._hosts, parts=1, file=file)

    def _private(self) -> _Held:
        """A ledger of this process's own."""
        cells = memoryview(bytearray(8 * CELLS)).cast("q")
        return _Held(
            ledger=Ledger(cells, clock=self._clock),
            lock=contextlib.nullcontext,
            hosts=self._hosts,
            parts=self._workers,
            file=None,
        )


def _take_of(candidate: Candidate, rung: RungName, policy: Policy) -> _Take | None:
    """What a rung's approval takes; None where it has no bound."""
    weight = policy.weights.of(rung)
    if not weight:
        return None
    tier = policy.tier_name(candidate.tier)
    budget = policy.tiers[tier].stand_in
    if budget is None:
        return None
    return _Take(
        tier=tier,
        instrument=f"{candidate.tenant}:{candidate.ids.get(Entity.CARD, '')}",
        amount=math.ceil(priced(candidate, policy) * weight),
        budget=budget,
    )


def _withheld_all(found: Sequence[str | None], takes: Container[int]) -> list[str | None]:
    return [STAND_IN_BUDGET if at in takes else code for at, code in enumerate(found)]


def _key(name: str) -> int:
    return xxh3_64_intdigest(name.encode()) % (2**63 - 1) + 1
