"""The descent: take away what each rung needs, one thing after the other, then give it all back.

At every step the service must go on answering, from the rung that is expected, and once
everything is back it must climb to the full rung within a stated bound.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chaos.faults import file_broken, file_gone, process_down
from chaos.load import Load, Outcome
from regions.world.control import World

__all__ = ["Descent", "Step", "StepResult", "run_descent"]

SETTLE_S = 10.0
CLIMB_S = 10.0
# Two workers share the requests; that many in a row are not from one of them by chance.
IN_A_ROW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is taken away.

    Attributes:
        name: what happens.
        expected: rung that then answers.
        take_away: makes it happen, undone when the stack is closed.
    """

    name: str
    expected: str
    take_away: Callable[[ExitStack], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What happened at one step.

    Attributes:
        name: of the step.
        expected: rung that was to answer.
        settled_s: until it did; None if it never did.
        requests: attempts from the fault on.
        failed: of them, those without a valid decision in time.
        failures: by kind.
        rungs: share of each rung from then on until the next step, once it had settled.
        why: why the higher rungs were not taken, once it had settled.
        latency_ms_p99: from intended send time to answer.
    """

    name: str
    expected: str
    settled_s: float | None
    requests: int
    failed: int
    failures: dict[str, int]
    rungs: dict[str, float]
    why: dict[str, str]
    latency_ms_p99: float

    @property
    def passed(self) -> bool:
        """Whether the step went as expected."""
        return self.settled_s is not None and self.failed == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """A whole descent.

    Attributes:
        steps: in order; the last one is the climb back.
    """

    steps: list[StepResult]

    @property
    def requests(self) -> int:
        """All attempts."""
        return sum(step.requests for step in self.steps)

    @property
    def failed(self) -> int:
        """Attempts without a valid decision in time."""
        return sum(step.failed for step in self.steps)

    @property
    def passed(self) -> bool:
        """Whether every step went as expected."""
        return all(step.passed for step in self.steps)


def steps_of(world: World, published: Path, stores: Sequence[str]) -> list[Step]:
    """The steps, in order."""
    rules = published / "rules" / "rules.yaml"

    def without_stores(stack: ExitStack) -> None:
        for name in stores:
            stack.enter_context(process_down(world, name))

    def without_snapshot_and_model(stack: ExitStack) -> None:
        stack.enter_context(file_gone(published / "snapshot" / "current"))
        stack.enter_context(file_gone(published / "model" / "current"))

    return [
        Step(name="everything is there", expected="full", take_away=lambda _: None),
        Step(
            name="the datastore is killed" + (", and its copies of the others" * (len(stores) > 1)),
            expected="batch",
            take_away=without_stores,
        ),
        Step(
            name="snapshot and model are withdrawn",
            expected="rules",
            take_away=without_snapshot_and_model,
        ),
        Step(
            name="the rule file is broken: the last good one stays",
            expected="rules",
            take_away=lambda stack: stack.enter_context(file_broken(rules)),
        ),
        Step(
            name="the rules are withdrawn, too",
            expected="tier_default",
            take_away=lambda stack: stack.enter_context(file_gone(rules)),
        ),
    ]


async def run_descent(
    world: World,
    load: Load,
    *,
    published: Path,
    stores: Sequence[str],
    hold_s: float = 3.0,
    on_step: Callable[[StepResult], None] = lambda _: None,
) -> Descent:
    """Run the descent under load; whatever happens, everything is given back.

    Args:
        world: whose processes are killed.
        load: that runs all the while.
        published: folder of what the region's scorers load.
        stores: processes of everything that the region's counters are read from.
        hold_s: how long each step lasts once its rung answers.
        on_step: told of each step as it ends.
    """
    results: list[StepResult] = []

    async def observe(name: str, expected: str, start_s: float, timeout_s: float) -> None:
        settled_s = await load.wait_for(
            lambda outcome: outcome.rung == expected, in_a_row=IN_A_ROW, timeout_s=timeout_s
        )
        settled_at_s = time.monotonic()
        await asyncio.sleep(hold_s)
        result = _result(name, expected, settled_s, load.since(start_s), load.since(settled_at_s))
        results.append(result)
        on_step(result)

    async with load.running():
        with ExitStack() as taken:
            for step in steps_of(world, published, stores):
                start_s = time.monotonic()
                await asyncio.to_thread(step.take_away, taken)
                await observe(step.name, step.expected, start_s, SETTLE_S)
            start_s = time.monotonic()
            await asyncio.to_thread(taken.close)
        await observe("everything is back", "full", start_s, CLIMB_S)
    return Descent(steps=results)


def _result(
    name: str,
    expected: str,
    settled_s: float | None,
    seen: list[Outcome],
    held: list[Outcome],
) -> StepResult:
    failures = Counter(outcome.failure for outcome in seen if outcome.failure is not None)
    rungs = Counter(outcome.rung for outcome in held if outcome.rung is not None)
    latencies = sorted(outcome.latency_ms for outcome in seen)
    return StepResult(
        name=name,
        expected=expected,
        settled_s=None if settled_s is None else round(settled_s, 2),
        requests=len(seen),
        failed=sum(failures.values()),
        failures=dict(failures),
        rungs={rung: round(count / len(held), 4) for rung, count in rungs.items()},
        why=held[-1].not_higher if held else {},
        latency_ms_p99=round(latencies[int(len(latencies) * 0.99)], 1) if latencies else 0.0,
    )
