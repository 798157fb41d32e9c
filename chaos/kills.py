"""Kills: scorer workers die by SIGKILL, again and again, under load.

Every decision that a client was given must be in the journal. What is lost with a whole host is
another matter, and is measured: how long a record waits until it is on disk.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.errors import OperatorError
from app.record.decision import decode_record
from app.record.frames import Kind
from app.record.journal import open_journal
from app.record.ring_file import wait_until_written
from app.streams.journal_tail import JournalTail
from chaos.load import Load
from regions.world.control import World

__all__ = ["Kills", "Window", "measure_window", "run_kills"]

BACK_S = 60.0
PAYLOAD_BYTES = 1_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """What a run of kills came to.

    Attributes:
        kills: workers killed.
        requests: attempts sent.
        unanswered: attempts without a decision: those in flight in a killed worker.
        late: answered after the hard stop, while fewer workers served.
        answered: decisions that clients were given.
        missing: of them, those that are not in the journal.
        doubled: of them, those that are there more than once.
        epochs: writer epochs opened, one for each process that took a slot.
    """

    kills: int
    requests: int
    unanswered: int
    late: int
    answered: int
    missing: int
    doubled: int
    epochs: int

    @property
    def passed(self) -> bool:
        """Whether nothing that was answered is missing."""
        return self.missing == 0 and self.doubled == 0 and self.answered > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How long records were not on disk yet, milliseconds."""

    groups: int
    p50_ms: float
    p99_ms: float
    max_ms: float


async def run_kills(
    world: World,
    load: Load,
    *,
    journal: Path,
    scorer: str,
    kills: int,
    seed: int = 0,
    on_kill: Callable[[int], None] = lambda _: None,
) -> Kills:
    """Kill workers one at a time, at random moments, each once the one before is replaced.

    Args:
        world: that runs the scorer.
        load: that runs all the while.
        journal: the region's journal folder.
        scorer: name of the scorer process.
        kills: how many.
        seed: of who is killed, and when.
        on_kill: told how many were killed.
    """
    rng = random.Random(seed)
    parent = world.process(scorer).pid
    assert parent is not None
    workers = len(_writing(parent))
    async with load.running():
        for number in range(1, kills + 1):
            await asyncio.sleep(rng.uniform(0.2, 1.2))  # the new worker takes its share
            victim = rng.choice(_writing(parent))
            os.kill(victim, signal.SIGKILL)
            on_kill(number)
            await _replaced(parent, victim, workers)
        await asyncio.sleep(0.5)
    return _count(load, journal, kills)


def measure_window(folder: Path, *, rate: float = 300.0, seconds: float = 5.0) -> Window:
    """Append at a rate to a journal of its own on the same disk, and look at its windows."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        journal = open_journal(Path(scratch), region=0)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            journal.append(Kind.DECISION, os.urandom(PAYLOAD_BYTES))
            time.sleep(1.0 / rate)
        windows = sorted(journal.windows_ms)
        journal.close()
    return Window(
        groups=len(windows),
        p50_ms=round(windows[len(windows) // 2], 1),
        p99_ms=round(windows[int(len(windows) * 0.99)], 1),
        max_ms=round(windows[-1], 1),
    )


def _count(load: Load, journal: Path, kills: int) -> Kills:
    given = {outcome.decision_id for outcome in load.outcomes if outcome.decision_id is not None}
    times: dict[str, int] = {}
    epochs: set[tuple[int, int]] = set()
    wait_until_written(journal)
    tail = JournalTail(journal)
    while records := tail.read(1_000):
        for record in records:
            epochs.add((record.id.writer, record.id.epoch))
            if record.kind is Kind.DECISION:
                decision_id = decode_record(record.payload).decision_id
                times[decision_id] = times.get(decision_id, 0) + 1
    return Kills(
        kills=kills,
        requests=len(load.outcomes),
        unanswered=sum(outcome.decision_id is None for outcome in load.outcomes),
        late=sum(outcome.failure == "late" for outcome in load.outcomes),
        answered=len(given),
        missing=sum(id not in times for id in given),
        doubled=sum(times.get(id, 0) > 1 for id in given),
        epochs=len(epochs),
    )


async def _replaced(parent: int, killed: int, workers: int) -> None:
    """Return when as many workers serve as before, the killed one not among them."""
    give_up_s = time.monotonic() + BACK_S
    while len(set(_writing(parent)) - {killed}) < workers:
        if time.monotonic() > give_up_s:
            raise OperatorError(
                f"the worker killed as pid {killed} was not replaced within {BACK_S:.0f} s."
            )
        await asyncio.sleep(0.05)


def _writing(parent: int) -> list[int]:
    """Children that hold a journal open: workers that serve."""
    return [pid for pid in _children(parent) if _holds_journal(pid)]


def _holds_journal(pid: int) -> bool:
    try:
        return any(
            link.readlink().suffix == ".journal" for link in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        return False


def _children(parent: int) -> list[int]:
    """Processes whose parent it is, the dead ones left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)
