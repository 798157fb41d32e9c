"""What the episodes of a drill prove together. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from chaos.engine.confidence import availability_lower
from chaos.engine.measure import LAG_MS_MAX, Episode
from chaos.engine.spec import Drill
from chaos.engine.standstill import STILL_MS_MAX
from chaos.engine.stolen import STOLEN_MAX
from chaos.engine.value import summed

__all__ = ["STRICT", "Allowed", "Result", "judge", "taken_away", "void"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill came to.

    Attributes:
        name: of the drill.
        row: of the matrix, the first one.
        rows: all of them.
        state: passed, failed, or void: the processors were taken away, the generator fell behind,
            or things were not steady before the fault, and the run proves nothing.
        passed: whether the state is that.
        problems: why not, a sentence each.
        requests: on the faulted path in the faults' windows; `failed` and the shares are of them.
        failed: of them.
        failures: of them, by why.
        defaults: of them, answered by the client's own default.
        availability: share that did not fail.
        availability_lower_95: exact one-sided bound of that, as if requests were independent.
        episodes: how often the fault was there.
        episodes_lower_95: the same bound over episodes without any failure.
        elsewhere: all other requests of the run.
        elsewhere_failed: of them.
        rungs: share of each in the windows.
        regions: share of each region in the windows.
        latency_ms: quantiles on the faulted path: before, in the windows, and what was added.
        settled: share of good ones after the drill's `settle_s`; None where it has none.
        ejected_s: longest from the fault until the callers left the region.
        back_s: longest from the removal until what was away was back.
        recovery_s: longest from the removal until the load got what it got before.
        tries: requests for each attempt on the faulted path, the most of an episode.
        posted_back: what clients decided by themselves and a region has now.
        value: shares of fraud value approved and of good value declined and stepped up, before
            the fault and in its windows.
        lag_p999_ms: of the generator, the worst episode.
        void: episodes that prove nothing.
        late: of them, those whose generator was late and that have nothing else against them.
        again: runs of episodes that proved nothing and were made again.
        again_failed: failures in them, all while processors were taken away or stood still.
        stolen: see `chaos.engine.stolen`; the worst episode.
        still_ms: see `chaos.engine.standstill`; the worst episode.
        ejections: of the drilled region by its own callers, by why.
    """

    name: str
    row: int
    rows: tuple[int, ...]
    state: str
    passed: bool
    problems: list[str]
    requests: int
    failed: int
    failures: dict[str, int]
    defaults: int
    availability: float
    availability_lower_95: float
    episodes: int
    episodes_lower_95: float
    elsewhere: int
    elsewhere_failed: int
    rungs: dict[str, float]
    regions: dict[str, float]
    latency_ms: dict[str, dict[str, float]]
    settled: float | None
    ejected_s: float | None
    back_s: float
    recovery_s: float | None
    tries: float
    posted_back: int
    value: dict[str, dict[str, float | None]]
    lag_p999_ms: float
    void: int
    late: int = 0
    again: int = 0
    again_failed: int = 0
    stolen: float = 0.0
    still_ms: float = 0.0
    ejections: dict[str, int] = {}

    @property
    def bounded(self) -> bool:
        """Whether its failures bound the availability, all of them counted.

        Where nothing is void they do. Where the generator was late alone they do, too: an answer is
        timed from when its request was due, so that what is sent late is answered later, and what
        was good is good all the same. That the drill passed it does not show.
        """
        return self.void == self.late


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What may come from outside, and an episode still says something of the service.

    Attributes:
        lag_ms: of the generator at its 99.9th percentile.
        stolen: see `chaos.engine.stolen`.
        still_ms: see `chaos.engine.standstill`.
    """

    lag_ms: float = LAG_MS_MAX
    stolen: float = STOLEN_MAX
    still_ms: float = STILL_MS_MAX


STRICT = Allowed()


def judge(drill: Drill, episodes: Sequence[Episode], *, allowed: Allowed = STRICT) -> Result:
    """Put the episodes of a drill together.

    Args:
        drill: as it was run.
        episodes: of it, at least one.
        allowed: beyond which an episode is void.
    """
    requests = sum(one.requests for one in episodes)
    failed = sum(one.failed for one in episodes)
    clean = sum(one.failed == 0 for one in episodes)
    voids = [why for one in episodes if (why := void(one, allowed=allowed)) is not None]
    rungs = _shares((one.rungs for one in episodes), requests)
    latency_ms = _latency(episodes)
    problems = [
        *voids,
        *_answers(drill, episodes),
        *_rungs(drill, rungs),
        *_times(drill, episodes),
        *_cost(drill, episodes, latency_ms["added"]),
        *(f"in episode {one.number} {what}" for one in episodes for what in one.problems),
    ]
    state = "void" if voids else "failed" if problems else "passed"
    settled = sum(one.settled for one in episodes)
    recovered = [one.recovery_s for one in episodes if one.recovery_s is not None]
    return Result(
        name=drill.name,
        row=drill.rows[0],
        rows=drill.rows,
        state=state,
        passed=state == "passed",
        problems=problems,
        requests=requests,
        failed=failed,
        failures=dict(sum((Counter(one.failures) for one in episodes), Counter())),
        defaults=sum(one.defaults for one in episodes),
        availability=1 - failed / requests if requests else 0.0,
        availability_lower_95=availability_lower(requests, failed),
        episodes=len(episodes),
        episodes_lower_95=availability_lower(len(episodes), len(episodes) - clean),
        elsewhere=sum(one.elsewhere for one in episodes),
        elsewhere_failed=sum(one.elsewhere_failed for one in episodes),
        rungs=rungs,
        regions=_shares((one.regions for one in episodes), requests),
        latency_ms=latency_ms,
        settled=sum(one.settled_good for one in episodes) / settled if settled else None,
        ejected_s=max(
            (one.ejected_s for one in episodes if one.ejected_s is not None), default=None
        ),
        back_s=max(one.back_s for one in episodes),
        recovery_s=max(recovered) if len(recovered) == len(episodes) else None,
        tries=max(one.tries for one in episodes),
        posted_back=sum(one.posted_back for one in episodes),
        value={
            "before": summed(one.value_before for one in episodes).shares(),
            "hold": summed(one.value_hold for one in episodes).shares(),
        },
        lag_p999_ms=max(one.lag_p999_ms for one in episodes),
        void=len(voids),
        late=sum(
            void(one, allowed=allowed) is not None
            and void(one, allowed=replace(allowed, lag_ms=math.inf)) is None
            for one in episodes
        ),
        again=sum(one.again for one in episodes),
        again_failed=sum(one.again_failed for one in episodes),
        stolen=max(one.stolen for one in episodes),
        still_ms=max(one.still_ms for one in episodes),
        ejections=dict(sum((Counter(one.ejections) for one in episodes), Counter())),
    )


def void(episode: Episode, *, allowed: Allowed = STRICT) -> str | None:
    """Why an episode proves nothing; None where it does."""
    if (why := taken_away(episode, allowed=allowed)) is not None:
        return why
    if episode.lag_p999_ms > allowed.lag_ms:
        return (
            f"episode {episode.number} is void: its generator was {episode.lag_p999_ms:.1f} ms "
            f"late at p99.9, and {allowed.lag_ms:g} ms are allowed"
        )
    if not episode.steady:
        return (
            f"episode {episode.number} is void: before the fault {episode.before_steady} of "
            f"{episode.before} requests were good and answered by their own region"
        )
    return None


def taken_away(episode: Episode, *, allowed: Allowed = STRICT) -> str | None:
    """Why an episode is void by what nothing here can cause; None where it is not."""
    if episode.stolen > allowed.stolen:
        return (
            f"episode {episode.number} is void: for some seconds others had {episode.stolen:.0%} "
            f"of the processor time wanted here, and {allowed.stolen:.0%} are allowed"
        )
    if episode.still_ms > allowed.still_ms:
        return (
            f"episode {episode.number} is void: the machine stood still for "
            f"{episode.still_ms:.0f} ms, and {allowed.still_ms:g} ms are allowed"
        )
    return None


def _answers(drill: Drill, episodes: Sequence[Episode]) -> list[str]:
    """What is wrong with who answered."""
    problems = [
        f"episode {one.number} was given up: {one.failed} of {one.requests} failed"
        for one in episodes
        if one.aborted and drill.answered_by == "region"
    ]
    if not sum(one.requests for one in episodes):
        return [*problems, "nothing was sent on the faulted path"]
    if drill.answered_by == "client":
        alone = sum(one.failed - one.defaults for one in episodes)
        if alone > drill.allowed_failed:
            problems.append(
                f"{alone} attempts got neither a region's answer nor the default in time"
            )
        waiting = sum(one.waiting for one in episodes)
        if waiting:
            problems.append(f"{waiting} decisions of clients were not posted back")
        return problems
    failed = sum(one.failed + one.elsewhere_failed for one in episodes)
    if failed > drill.allowed_failed:
        problems.append(f"{failed} attempts failed, and {drill.allowed_failed} may")
    return problems


def _rungs(drill: Drill, rungs: dict[str, float]) -> list[str]:
    return [
        f"{rungs.get(rung, 0.0):.2%} came from the rung {rung}, and {least:.2%} should"
        for rung, least in drill.rungs.items()
        if rungs.get(rung, 0.0) < least
    ]


def _times(drill: Drill, episodes: Sequence[Episode]) -> list[str]:
    """What is wrong with how long it took."""
    problems = []
    for one in episodes:
        if one.recovery_s is None:
            problems.append(f"after episode {one.number} the load never got what it got before")
        elif (late_s := one.recovery_s - one.back_s) > drill.recovery_s:
            problems.append(
                f"episode {one.number} took {late_s:.1f} s to recover, not {drill.recovery_s:g}"
            )
        if drill.ejected_s is not None and (
            one.ejected_s is None or one.ejected_s > drill.ejected_s
        ):
            said = "never" if one.ejected_s is None else f"after {one.ejected_s:.1f} s"
            problems.append(f"in episode {one.number} callers left the region {said}")
    settled = sum(one.settled for one in episodes)
    good = sum(one.settled_good for one in episodes)
    if drill.settle_s is not None and good < drill.settled_share * settled:
        problems.append(f"{good} of {settled} were good once it had settled")
    return problems


def _cost(drill: Drill, episodes: Sequence[Episode], added_ms: dict[str, float]) -> list[str]:
    """What is wrong with what it cost: requests, and time."""
    problems = []
    tries = max(one.tries for one in episodes)
    if drill.tries_max is not None and tries > drill.tries_max:
        problems.append(f"{tries:.2f} requests were made for an attempt, and {drill.tries_max} may")
    added = added_ms.get("p50", 0.0)
    if drill.added_p50_ms_max is not None and added > drill.added_p50_ms_max:
        problems.append(
            f"the median took {added:.1f} ms longer, and {drill.added_p50_ms_max:g} are allowed"
        )
    return problems


def _shares(counts: Iterable[dict[str, int]], of: int) -> dict[str, float]:
    total: Counter[str] = sum((Counter(one) for one in counts), Counter())
    return {name: count / of for name, count in total.most_common()}


def _latency(episodes: Sequence[Episode]) -> dict[str, dict[str, float]]:
    before = _quantiles(sorted(ms for one in episodes for ms in one.before_ms))
    hold = _quantiles(sorted(ms for one in episodes for ms in one.hold_ms))
    added = {name: round(hold[name] - before[name], 2) for name in hold.keys() & before.keys()}
    return {"before": before, "hold": hold, "added": dict(sorted(added.items()))}


def _quantiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    if not latencies_ms:
        return {}
    return {
        name: latencies_ms[math.ceil(share * len(latencies_ms)) - 1]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0))
    }
