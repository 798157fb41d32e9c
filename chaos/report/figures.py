"""What a report says of results: rows by state, availability of all, the budget. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from chaos.engine.budget import Spent, bounds, spent, unavailability
from chaos.engine.confidence import availability_lower
from chaos.engine.matrix import Covered
from chaos.engine.results import Results, Told

__all__ = ["Figures", "RowState", "State", "figures"]

State = Literal["passed", "failed", "void", "test", "nothing", "notrun"]


class RowState(msgspec.Struct, frozen=True, kw_only=True):
    """How a row of the matrix stands.

    Attributes:
        covered: the row, and who drills it.
        state: the worst of its drills that were run; `test` where tests alone drill it, `nothing`
            where nothing does, `notrun` where what does was not run.
        ran: names of what was run of it.
    """

    covered: Covered
    state: State
    ran: tuple[str, ...]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says.

    Attributes:
        rows: of the matrix.
        requests: on the faulted paths in the faults' windows, without runs that bound nothing
            (`Result.bounded`) and those that only the client's own default can answer; what was
            run again counts both times.
        failed: of them.
        void_requests: the same of runs that bound nothing.
        void_failed: of them.
        availability_lower_95: exact one-sided bound of them all.
        drills: that were counted.
        drills_lower_95: the same bound over drills without any failure.
        budget: what each row costs, the most first.
        unavailability: U.
    """

    rows: tuple[RowState, ...]
    requests: int
    failed: int
    void_requests: int
    void_failed: int
    availability_lower_95: float
    drills: int
    drills_lower_95: float
    budget: tuple[Spent, ...]
    unavailability: float


def figures(results: Results, rows: Sequence[Covered]) -> Figures:
    """Make the figures of a report.

    Args:
        results: of drills.
        rows: of the matrix, with their drills.
    """
    every = [
        one for one in (*results.drills, *results.outdated) if one.drill.answered_by == "region"
    ]
    counted = [one for one in every if one.result.bounded]
    voids = [one for one in every if not one.result.bounded]
    requests = sum(one.result.requests for one in counted)
    failed = sum(one.result.failed for one in counted)
    clean = [one for one in counted if not one.result.failed]
    budget = spent([one.row for one in rows], bounds(results.drills))
    return Figures(
        rows=tuple(_state(one, results) for one in rows),
        requests=requests,
        failed=failed,
        void_requests=sum(one.result.requests for one in voids),
        void_failed=sum(one.result.failed for one in voids),
        availability_lower_95=availability_lower(requests, failed),
        drills=len(counted),
        drills_lower_95=availability_lower(len(counted), len(counted) - len(clean)),
        budget=tuple(budget),
        unavailability=unavailability(budget),
    )


def _state(row: Covered, results: Results) -> RowState:
    ran: dict[str, State] = {}
    for one in results.drills:
        if one.drill.name in row.drills:
            ran[one.drill.name] = _of(one)
    for apart in results.apart:
        if apart.name in row.row.apart:
            ran[apart.name] = "passed" if apart.passed else "failed"
    for name in (*row.drills, *row.row.apart):
        if name in results.errors:
            ran[name] = "failed"
    order: tuple[State, ...] = ("failed", "void", "passed")
    worst = next((state for state in order if state in ran.values()), None)
    return RowState(covered=row, state=worst or _without(row), ran=tuple(ran))


def _of(one: Told) -> State:
    return "passed" if one.result.passed else "void" if one.result.state == "void" else "failed"


def _without(row: Covered) -> State:
    """State of a row of which nothing was run."""
    if row.drills or row.row.apart:
        return "notrun"
    return "test" if row.row.tests else "nothing"
