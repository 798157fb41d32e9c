"""What one episode came to, from its outcomes and the instants of its fault. Pure.

Counted is what was on the faulted path in the fault's window: attempts of callers homed in the
drilled region that were due in it, or under way when it began. Everything else is counted apart:
healthy traffic hides nothing, and a failure elsewhere is still a failure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from chaos.engine.course import Course, Marks, course_of
from chaos.engine.good import MOSTLY, failure
from chaos.engine.spec import Drill
from chaos.engine.value import Value, value_of
from chaos.engine.wire import Body, Ended, Outcome, Said
from stepdown_client import CLIENT_DEFAULT

__all__ = ["LAG_MS_MAX", "Episode", "measured"]

LAG_MS_MAX = 5.0


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """What an episode came to.

    Attributes:
        number: from 0.
        requests: on the faulted path, in the fault's window.
        failed: of them.
        failures: of them, by why.
        defaults: of them, answered by the client's own default within its deadline.
        elsewhere: all other requests of the episode.
        elsewhere_failed: of them.
        rungs: good answers in the window, by rung.
        regions: the same by region.
        before: requests on the same path before the fault.
        before_steady: of them, good ones that the callers' own region answered.
        before_ms: their latencies.
        hold_ms: latencies in the window.
        settled: requests in the window after the drill's `settle_s`.
        settled_good: of them.
        ejected_s: from the fault until the callers left the region.
        back_s: from the removal until what was away was back.
        recovery_s: from the removal until the load got what it got before; None if it never did.
        tries: requests for each attempt of the callers, the faulted region's first.
        posted_back: what clients decided by themselves and a region has now.
        waiting: the same, that no region has.
        value_before: what happened to fraud and to good value before the fault.
        value_hold: and in the window.
        lag_p999_ms: of the generator until the fault's removal: what starts again beside it makes
            it late as well, and lateness counts against the answers.
        aborted: whether the hold was cut short.
        timeline: answers a second from the start, by region.
        course: of the faulted path, second by second.
        problems: what was watched beside the load and was not as it has to be.
        again: times that it was run before and was void.
        again_failed: failures in those runs; there are some where processors were taken away alone.
        stolen: see `chaos.engine.stolen`.
        still_ms: see `chaos.engine.standstill`.
        ejections: of the drilled region by its own callers, by why, from the fault on.
    """

    number: int
    requests: int
    failed: int
    failures: dict[str, int]
    defaults: int
    elsewhere: int
    elsewhere_failed: int
    rungs: dict[str, int]
    regions: dict[str, int]
    before: int
    before_steady: int
    before_ms: list[float]
    hold_ms: list[float]
    settled: int
    settled_good: int
    ejected_s: float | None
    back_s: float
    recovery_s: float | None
    tries: float
    posted_back: int
    waiting: int
    value_before: Value
    value_hold: Value
    lag_p999_ms: float
    aborted: bool
    timeline: dict[str, list[int]]
    course: Course
    problems: list[str]
    again: int = 0
    again_failed: int = 0
    stolen: float = 0.0
    still_ms: float = 0.0
    ejections: dict[str, int] = {}

    @property
    def steady(self) -> bool:
        """Whether things were as they should be before the fault."""
        return self.before > 0 and self.before_steady >= MOSTLY * self.before


def measured(
    number: int,
    drill: Drill,
    region: str,
    *,
    marks: Marks,
    outcomes: Sequence[Outcome],
    said: Sequence[Said],
    ended: Sequence[Ended],
    bodies: Sequence[Body],
    problems: Sequence[str] = (),
    stolen: float = 0.0,
    still_ms: float = 0.0,
) -> Episode:
    """Measure an episode.

    Args:
        number: of it.
        drill: that it is of.
        region: that was drilled.
        marks: its instants.
        outcomes: all.
        said: by clients.
        ended: what each load process came to.
        bodies: that were sent.
        problems: of what was watched.
        stolen: see `chaos.engine.stolen`.
        still_ms: see `chaos.engine.standstill`.
    """
    outcomes = [one for one in outcomes if one.due_s >= marks.start_s]
    path = [one for one in outcomes if one.home == region]
    before = [one for one in path if _answered_s(one) < marks.inject_s]
    hold = [
        one for one in path if _answered_s(one) >= marks.inject_s and one.due_s < marks.remove_s
    ]
    counted = set(map(id, hold))
    rest = [one for one in outcomes if id(one) not in counted]
    failures = Counter(why for one in hold if (why := failure(one, drill.limit_ms)) is not None)
    good = [one for one in hold if failure(one, drill.limit_ms) is None]
    settled = _settled(drill, hold, marks)
    left = [
        one for one in said
        if (one.home, one.region, one.what) == (region, region, "ejected")
        and one.at_s >= marks.inject_s
    ]  # fmt: skip
    lags = sorted(one.lag_ms for one in outcomes if one.due_s < marks.remove_s)
    return Episode(
        number=number,
        requests=len(hold),
        failed=failures.total(),
        failures=dict(failures),
        defaults=sum(
            one.rung == CLIENT_DEFAULT and one.latency_ms <= drill.limit_ms for one in hold
        ),
        elsewhere=len(rest),
        elsewhere_failed=sum(failure(one, drill.limit_ms) is not None for one in rest),
        rungs=dict(Counter(str(one.rung) for one in good)),
        regions=dict(Counter(str(one.region) for one in good)),
        before=len(before),
        before_steady=sum(
            failure(one, drill.limit_ms) is None and one.region == region for one in before
        ),
        before_ms=sorted(one.latency_ms for one in before),
        hold_ms=sorted(one.latency_ms for one in hold),
        settled=len(settled),
        settled_good=sum(failure(one, drill.limit_ms) is None for one in settled),
        ejected_s=min(one.at_s for one in left) - marks.inject_s if left else None,
        back_s=marks.removed_s - marks.remove_s,
        recovery_s=None if marks.normal_s is None else max(0.0, marks.normal_s - marks.remove_s),
        tries=next((one.tries for one in ended if one.home == region), 1.0),
        posted_back=sum(one.posted_back for one in ended),
        waiting=sum(one.waiting for one in ended),
        value_before=value_of(before, bodies),
        value_hold=value_of(hold, bodies),
        lag_p999_ms=lags[math.ceil(0.999 * len(lags)) - 1] if lags else 0.0,
        aborted=marks.aborted,
        timeline=_timeline(outcomes, marks.start_s),
        course=course_of(path, marks, drill.limit_ms),
        problems=list(problems),
        ejections=dict(Counter(str(one.why) for one in left)),
        stolen=stolen,
        still_ms=still_ms,
    )


def _settled(drill: Drill, hold: Iterable[Outcome], marks: Marks) -> list[Outcome]:
    if drill.settle_s is None:
        return []
    return [one for one in hold if one.due_s >= marks.inject_s + drill.settle_s]


def _timeline(outcomes: Sequence[Outcome], start_s: float) -> dict[str, list[int]]:
    """Answers a second, by region; `none` where no region answered."""
    seconds = 1 + max((int(one.due_s - start_s) for one in outcomes), default=0)
    found: dict[str, list[int]] = {}
    for one in outcomes:
        of_region = found.setdefault(one.region or "none", [0] * seconds)
        of_region[int(one.due_s - start_s)] += 1
    return found


def _answered_s(outcome: Outcome) -> float:
    return outcome.due_s + outcome.latency_ms / 1_000
