"""What a drill looks at beside its load: counters of the region, its workers, their open files."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import defaultdict
from typing import Annotated, Literal

import msgspec

from app.errors import OperatorError
from chaos.engine.ground import Ground
from chaos.engine.scorer_faults import descriptors, workers

__all__ = ["Bounds", "Look", "Watch", "look", "problems", "totals"]

ANSWER_S_MAX = 5.0
# Workers push what they count every second.
PUSHED_S = 1.5
_SAMPLE = re.compile(r"^stepdown_(\w+?)(?:_total)?(?:\{(.*)\})? (\S+)$")

Count = Annotated[int, msgspec.Meta(ge=0)]


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By how much a counter rises; no bound where None."""

    least: Count = 0
    most: Count | None = None


class Watch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has to hold from the fault to the end of the recovery.

    Attributes:
        counters: rise by name, all labels together, or of one value as in `requests_refused:500`.
        workers: whether the scorer's workers are the same after it, or one was replaced.
        descriptors_more: open files of the workers, at most so many more; None for no bound.
    """

    counters: dict[str, Bounds] = {}
    workers: Literal["same", "replaced"] | None = None
    descriptors_more: Count | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What there is at one moment.

    Attributes:
        totals: of the region's counters, by name and by name and each label's value.
        workers: process numbers of the scorer.
        descriptors: open files of them.
    """

    totals: dict[str, float]
    workers: tuple[int, ...]
    descriptors: int


def look(ground: Ground, watch: Watch) -> Look:
    """Look at what is watched; of what is not, nothing.

    Raises:
        OperatorError: the region does not say what it counts.
    """
    pids = workers(ground, f"{ground.region}/scorer")
    return Look(
        totals=totals(_metrics(ground)) if watch.counters else {},
        workers=tuple(pids),
        descriptors=descriptors(pids),
    )


def problems(watch: Watch, before: Look, after: Look) -> list[str]:
    """What is not as it has to be, a sentence each without its stop. Pure."""
    found = []
    for name, bounds in watch.counters.items():
        rise = after.totals.get(name, 0.0) - before.totals.get(name, 0.0)
        if rise < bounds.least:
            found.append(f"{name} rose by {rise:g}, and should by {bounds.least} at least")
        if bounds.most is not None and rise > bounds.most:
            found.append(f"{name} rose by {rise:g}, and may by {bounds.most} at most")
    same = after.workers == before.workers
    if watch.workers == "same" and not same:
        found.append(f"workers {before.workers} were {after.workers} afterwards")
    if watch.workers == "replaced" and same:
        found.append("no worker was replaced")
    more = after.descriptors - before.descriptors
    if watch.descriptors_more is not None and more > watch.descriptors_more:
        found.append(f"the workers have {more} more files open than before")
    return found


def totals(text: str) -> dict[str, float]:
    """Counters as Prometheus has them, summed by name, and by name and value of a label."""
    found: defaultdict[str, float] = defaultdict(float)
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        name, labels, value = sample.groups()
        found[name] += float(value)
        for label in set(re.findall(r'="([^"]*)"', labels or "")):
            found[f"{name}:{label}"] += float(value)
    return dict(found)


def _metrics(ground: Ground) -> str:
    spec = next(one for one in ground.plan.processes if one.name == f"{ground.region}/operations")
    time.sleep(PUSHED_S)
    try:
        with urllib.request.urlopen(
            f"http://{spec.host}:{spec.port}/metrics", timeout=ANSWER_S_MAX
        ) as reply:
            return str(reply.read(), "utf-8")
    except OSError as error:
        raise OperatorError(f"{spec.name} does not say what it counts: {error}.") from None
