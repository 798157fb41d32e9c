"""Whether a lower rung may still approve, on this host: see `fallback/exposure.py`.

| what fails | then |
|---|---|
| the file is missing or holds something else | made anew, with a whole share |
| the file cannot be used | each worker keeps a part of the share in its own memory |
| the lock is not to be had within 2 ms | that approval is withheld |
| a bug | that approval is withheld |

So the fleet approves within any hour at most the budget, and one share more for each host or file
that was made anew within it.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

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

    def withheld(self, candidate: Candidate, rung: RungName, policy: Policy) -> str | None:
        """Enter an approval of a rung, if there is room for it.

        Returns:
            None where the approval stands, or the reason code for which it is withheld. Never
            raises.
        """
        try:
            weight = policy.weights.of(rung)
            name = policy.tier_name(candidate.tier)
            budget = policy.tiers[name].stand_in
            if not weight or budget is None:
                return None
            spent = self._take(
                candidate, name, budget, math.ceil(priced(candidate, policy) * weight)
            )
        except LockBusyError:
            self._telemetry.count("stand_in_withheld", "lock")
            return STAND_IN_BUDGET
        except Exception:  # a bug costs an approval, never the answer
            log.exception("bug in stand_in")
            self._telemetry.count("bugs", "stand_in")
            return STAND_IN_BUDGET
        if spent is None:
            return None
        self._telemetry.count("stand_in_withheld", spent.value)
        return STAND_IN_CARD if spent is Spent.INSTRUMENT else STAND_IN_BUDGET

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

    def _take(
        self, candidate: Candidate, name: str, budget: StandInBudget, amount: int
    ) -> Spent | None:
        held = self._held
        with held.lock():
            return held.ledger.take(
                tier=_key(name),
                instrument=_key(f"{candidate.tenant}:{candidate.ids.get(Entity.CARD, '')}"),
                amount=amount,
                limit=held.limit(budget),
            )

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


def _key(name: str) -> int:
    return xxh3_64_intdigest(name.encode()) % (2**63 - 1) + 1
