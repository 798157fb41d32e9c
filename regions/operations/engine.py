"""Steps of an operation: looked at, done, looked at again. No I/O of its own.

    check      done     nothing to do: an operation that was cut short is given again
               refused  the operation ends here, unless it is forced and the step may be
               not yet  act, then verify until it is done; a step that only waits has no act
    verify     refused, or not done in time: undo the step, and end

A dry run checks and acts nowhere. Where a look cannot find out, a step that acts or waits goes on,
since its act is harmless when it was done before; a step that only looks refuses.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Outcome", "Runner", "State", "Step", "done", "not_yet", "refused"]

Result = Literal["ok", "already", "done", "would", "forced", "refused", "failed"]

POLL_S = 0.2


class State(enum.Enum):
    """How a step stands."""

    DONE = enum.auto()
    NOT_YET = enum.auto()
    REFUSED = enum.auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found: the state, and a few words about it."""

    state: State
    says: str


def done(says: str) -> Finding:
    """It is as it should be."""
    return Finding(State.DONE, says)


def not_yet(says: str) -> Finding:
    """It is not as it should be, yet."""
    return Finding(State.NOT_YET, says)


def refused(says: str) -> Finding:
    """It is such that the operation must not go on."""
    return Finding(State.REFUSED, says)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        name: what holds when it is done.
        check: looks, before.
        act: does it; None for a step that only looks.
        verify: looks, after; the check again by default.
        undo: takes the act back when it did not verify.
        wait_s: longest wait until it verifies, seconds.
        may_be_forced: whether `--force` goes over its refusal.
    """

    name: str
    check: Callable[[], Finding]
    act: Callable[[], None] | None = None
    verify: Callable[[], Finding] | None = None
    undo: Callable[[], None] | None = None
    wait_s: float = 0.0
    may_be_forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step.

    Attributes:
        step: its name.
        result: `ok` of a step that only looks, `already`, `done`, `would` of a dry run, `forced`,
            `refused` or `failed`.
        says: what was found last.
        took_s: seconds.
    """

    step: str
    result: Result
    says: str
    took_s: float

    @property
    def ends(self) -> bool:
        """Whether the operation ends with it."""
        return self.result in {"refused", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Carries steps out.

    Attributes:
        monotonic: seconds.
        sleep: waits, seconds.
        unknown: errors by which a look says that it cannot be found out.
        dry_run: look only.
        force: go over refusals where that is allowed.
    """

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    unknown: tuple[type[Exception], ...] = ()
    dry_run: bool = False
    force: bool = False

    def run(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Each step's outcome as it comes; none after one that ends the operation."""
        for step in steps:
            outcome = self._outcome(step)
            yield outcome
            if outcome.ends:
                return

    def _outcome(self, step: Step) -> Outcome:
        start_s = self.monotonic()

        def outcome(result: Result, says: str) -> Outcome:
            return Outcome(
                step=step.name, result=result, says=says, took_s=self.monotonic() - start_s
            )

        goes_on = step.act is not None or step.wait_s > 0
        before = self._look(step.check, at_worst=State.NOT_YET if goes_on else State.REFUSED)
        if before.state is State.DONE:
            return outcome("already" if goes_on else "ok", before.says)
        if before.state is State.REFUSED:
            forced = self.force and step.may_be_forced
            return outcome("forced" if forced else "refused", before.says)
        if self.dry_run:
            return outcome("would", before.says)
        try:
            if step.act is not None:
                step.act()
            after = self._verified(step)
        except self.unknown as error:
            after = refused(str(error))
        if after.state is State.DONE:
            return outcome("done", after.says)
        return outcome("failed", f"{after.says}{self._undone(step)}")

    def _verified(self, step: Step) -> Finding:
        """What was found last, at the latest when time is up."""
        verify = step.verify or step.check
        end_s = self.monotonic() + step.wait_s
        while (found := self._look(verify, at_worst=State.NOT_YET)).state is State.NOT_YET:
            if self.monotonic() >= end_s:
                break
            self.sleep(POLL_S)
        return found

    def _look(self, look: Callable[[], Finding], *, at_worst: State) -> Finding:
        try:
            return look()
        except self.unknown as error:
            return Finding(at_worst, str(error))

    def _undone(self, step: Step) -> str:
        if step.undo is None:
            return ""
        try:
            step.undo()
        except self.unknown as error:
            return f"; and could not be undone: {error}"
        return "; undone"
