"""The instants of an episode, and its seconds on the faulted path: what a timeline is of. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from chaos.engine.good import failure
from chaos.engine.wire import Outcome

__all__ = ["FAILED", "Course", "Marks", "course_of"]

# Beside the rungs: what was no good answer.
FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Instants of an episode, monotonic seconds.

    Attributes:
        start_s: the baseline begins; what was sent before only warmed up.
        inject_s: the first fault begins.
        remove_s: the faults begin to be taken away.
        removed_s: what was away is back.
        normal_s: the load gets again what it got before; None if it never did.
        aborted: whether the hold was cut short.
    """

    start_s: float
    inject_s: float
    remove_s: float
    removed_s: float
    normal_s: float | None
    aborted: bool


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of an episode, and its instants on the same scale.

    Attributes:
        answers: a second, by rung; `failed` for what was no good answer.
        p50_ms: of all that was due in the second; None where nothing was.
        p99_ms: the same.
        inject_s: from the start of the baseline, as the other instants.
        remove_s: the faults begin to be taken away.
        removed_s: what was away is back.
        normal_s: the load gets what it got before; None if it never did.
    """

    answers: dict[str, list[int]] = {}
    p50_ms: list[float | None] = []
    p99_ms: list[float | None] = []
    inject_s: float = 0.0
    remove_s: float = 0.0
    removed_s: float = 0.0
    normal_s: float | None = None


def course_of(path: Sequence[Outcome], marks: Marks, limit_ms: float) -> Course:
    """The course of an episode.

    Args:
        path: outcomes on the faulted path, none of before the start.
        marks: instants of the episode.
        limit_ms: deadline of an answer.
    """
    start_s = marks.start_s
    seconds = 1 + max((int(one.due_s - start_s) for one in path), default=0)
    answers: dict[str, list[int]] = {}
    latencies: list[list[float]] = [[] for _ in range(seconds)]
    for one in path:
        at = int(one.due_s - start_s)
        name = FAILED if failure(one, limit_ms) is not None else str(one.rung)
        answers.setdefault(name, [0] * seconds)[at] += 1
        latencies[at].append(one.latency_ms)
    return Course(
        answers=answers,
        p50_ms=[_quantile(found, 0.5) for found in latencies],
        p99_ms=[_quantile(found, 0.99) for found in latencies],
        inject_s=round(marks.inject_s - start_s, 2),
        remove_s=round(marks.remove_s - start_s, 2),
        removed_s=round(marks.removed_s - start_s, 2),
        normal_s=None if marks.normal_s is None else round(marks.normal_s - start_s, 2),
    )


def _quantile(latencies_ms: Sequence[float], share: float) -> float | None:
    ordered = sorted(latencies_ms)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
