"""Outages under load, after which every decision must have been counted once.

    outage    the stream is killed and the object storage is gone: the backlog stays in the
              journals and drains once both are back
    emptied   the datastore is killed and comes back without anything it held: it is cold, not
              empty, and built anew from history and journals under a new generation

Answers must go on all the while; counters are checked card by card against the journal, before and
after: what earlier drills did to a store is none of this one's doing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from app.features.countable import countable
from app.features.events import Counted
from app.features.packed import key, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import Entity
from app.record.ring_file import wait_until_written
from app.streams.journal_tail import JournalTail
from chaos.faults import folder_unusable, process_down, store_emptied
from chaos.load import Load
from regions.world.control import World

__all__ = ["Outage", "emptied", "outage", "run_outage", "since"]

DRAIN_S = 60.0
BEFORE_S = 3.0
AFTER_S = 3.0
# What would be counted twice is by then.
TWICE_S = 2.0
SETTLED_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What an outage came to.

    Attributes:
        requests: attempts sent.
        failed: attempts without a valid decision in time.
        rungs: decisions by rung.
        drained_s: from the return until every decision was counted; None if that never was.
        decisions: in the journal.
        lost: decisions that no counter has, and had before the outage.
        twice: decisions that were counted more than once since.
        off_before: cards whose counters did not match the journal when it began.
    """

    requests: int
    failed: int
    rungs: Mapping[str, int]
    drained_s: float | None
    decisions: int
    lost: int
    twice: int
    off_before: int

    @property
    def passed(self) -> bool:
        """Whether every attempt was answered, and every decision counted once."""
        return self.failed == 0 and self.lost == 0 and self.twice == 0 and self.decisions > 0


@contextmanager
def outage(world: World, region: str, folder: Path) -> Iterator[None]:
    """The region's stream and object storage are away."""
    storage = folder / "object-storage"
    storage.mkdir(exist_ok=True)
    with process_down(world, f"{region}/stream"), folder_unusable(storage):
        yield


def emptied(world: World, region: str, folder: Path) -> AbstractContextManager[None]:
    """The region's datastore is away, and has lost everything when it is back."""
    return store_emptied(world, f"{region}/datastore", folder / "datastore")


async def run_outage(
    load: Load,
    fault: AbstractContextManager[None],
    *,
    folder: Path,
    store: redis.Redis,
    hold_s: float,
    on_phase: Callable[[str], None] = lambda _: None,
) -> Outage:
    """Run an outage under load; whatever happens, everything is given back.

    Args:
        load: that runs all the while.
        fault: what is away.
        folder: of the region.
        store: the region's datastore, one shard.
        hold_s: how long it is away.
        on_phase: told what begins.
    """
    before = await _settled(store, folder / "journal")
    async with load.running():
        await asyncio.sleep(BEFORE_S)
        on_phase("away")
        with ExitStack() as away:
            await asyncio.to_thread(away.enter_context, fault)
            await asyncio.sleep(hold_s)
            on_phase("back")
            await asyncio.to_thread(away.close)
        await asyncio.sleep(AFTER_S)
    back_s = time.monotonic()
    journaled = _journaled(folder / "journal")
    drained_s = None
    while time.monotonic() - back_s < DRAIN_S:
        if not _uncounted(store, journaled) - +before:
            drained_s = round(time.monotonic() - back_s, 2)
            break
        await asyncio.sleep(0.2)
    await asyncio.sleep(TWICE_S)
    lost, twice = since(before, _uncounted(store, journaled))
    return Outage(
        requests=len(load.outcomes),
        failed=sum(outcome.failure is not None for outcome in load.outcomes),
        rungs=Counter(outcome.rung for outcome in load.outcomes if outcome.rung is not None),
        drained_s=drained_s,
        decisions=journaled.total(),
        lost=lost,
        twice=twice,
        off_before=sum(off != 0 for off in before.values()),
    )


def since(before: Counter[str], after: Counter[str]) -> tuple[int, int]:
    """Decisions that were lost, and that were counted twice, beyond what there was before.

    Args:
        before: decisions in the journals less those counted, by key; below 0 what is counted twice.
        after: the same.
    """
    return (after - +before).total(), (-after - -before).total()


async def _settled(store: redis.Redis, journal: Path) -> Counter[str]:
    """What is not counted, once nothing is being counted any more."""
    journaled = _journaled(journal)
    until_s = time.monotonic() + DRAIN_S
    found = _uncounted(store, journaled)
    while time.monotonic() < until_s:
        await asyncio.sleep(SETTLED_S)
        last, found = found, _uncounted(store, journaled)
        if found == last:
            break
    return found


def _uncounted(store: redis.Redis, journaled: Counter[str]) -> Counter[str]:
    """By key: decisions in the journals less those that the store counted, which may be more."""
    found = Counter(journaled)
    found.subtract(_counted(store, journaled))
    return found


def _journaled(journal: Path) -> Counter[str]:
    """Decisions in the journals by the key of their card's counters."""
    found: Counter[str] = Counter()
    wait_until_written(journal)
    tail = JournalTail(journal)
    while records := tail.read(1_000):
        for record in records:
            event = countable(record)
            if event is None or not event.what & Counted.ATTEMPTED:
                continue
            if (card := event.entities.get(Entity.CARD)) is not None:
                found[key(event.tenant, Entity.CARD, card)] += 1
    return found


def _counted(store: redis.Redis, journaled: Counter[str]) -> Counter[str]:
    """Attempts that the store has counted, by the same keys; a day's counters hold them all."""
    reader = layouts_of(REFERENCE)[Entity.CARD]
    found: Counter[str] = Counter()
    for name in journaled:
        raw = store.get(name)
        if isinstance(raw, bytes):
            cells = reader.layout.cells(reader.decode([raw]), "card_attempted_24h")
            found[name] = int(cells.sum())
    return found
