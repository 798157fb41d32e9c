"""What is a good answer, and when things are as they should be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.engine.wire import Outcome
from stepdown_client import CLIENT_DEFAULT

__all__ = ["IN_A_ROW", "MOSTLY", "failure", "normal_again", "steady"]

IN_A_ROW = 50
MOSTLY = 0.9
ACTIONS = frozenset({"approve", "step_up", "decline"})


def failure(outcome: Outcome, deadline_ms: float) -> str | None:
    """Why an outcome is bad; None for a decision signed by a region within the deadline."""
    if outcome.rung == CLIENT_DEFAULT:
        return f"client default ({outcome.error})"
    if outcome.error is not None:
        return outcome.error
    if not outcome.signed or outcome.action not in ACTIONS:
        return "not signed by a region"
    return "late" if outcome.latency_ms > deadline_ms else None


def steady(outcomes: Sequence[Outcome], region: str, deadline_ms: float) -> bool:
    """Whether enough outcomes are good, and mostly of one region."""
    own = sum(failure(one, deadline_ms) is None and one.region == region for one in outcomes)
    return len(outcomes) >= IN_A_ROW and own >= MOSTLY * len(outcomes)


def normal_again(
    outcomes: Sequence[Outcome],
    before: Sequence[Outcome],
    deadline_ms: float,
    *,
    as_before: bool = True,
) -> float | None:
    """When the load got again what it got before: mostly the same rung, of the same region.

    Args:
        outcomes: since the removal, on the faulted path.
        before: the same path before the fault.
        deadline_ms: of an answer.
        as_before: whether that is asked for, or good answers of any region are enough.

    Returns:
        The instant, or None.
    """
    ordered = sorted(outcomes, key=lambda one: one.due_s)
    rung, region = _most(one.rung for one in before), _most(one.region for one in before)
    same = [one.rung == rung and one.region == region for one in ordered]
    bad = [failure(one, deadline_ms) is not None for one in ordered]
    alike, failed = sum(same[:IN_A_ROW]), sum(bad[:IN_A_ROW])
    for at in range(len(ordered) - IN_A_ROW + 1):
        if at:
            alike += same[at + IN_A_ROW - 1] - same[at - 1]
            failed += bad[at + IN_A_ROW - 1] - bad[at - 1]
        if not failed and (alike >= MOSTLY * IN_A_ROW or not as_before):
            return ordered[at].due_s
    return None


def _most(of: Iterable[str | None]) -> str | None:
    return next((one for one, _ in Counter(of).most_common(1)), None)
