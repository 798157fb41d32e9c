"""A rehearsal: a history played through the real serving code, in event time, in this process.

Attempts come in batches. Their counters are read from real datastores, as a scorer reads them;
the decisions go into real journals, several in each of two home regions; appliers follow the
journals, each at a pace of its own, so that every batch finds other events applied; outcomes and
labels become known later, and some are withdrawn. At the end the historian keeps it all. What is
left out is judgement: the row of the full rung is recorded, and no model scores it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from app.features.events import Counted
from app.features.merge import Ask, Streaming
from app.features.online import OnlineStore
from app.features.reference import RATIO_INPUT
from app.features.rehearsal_region import TIMEOUT_MS, RehearsalRegion
from app.features.rehearsal_script import Script
from app.features.rehearsal_stores import datastores
from app.features.spec import DAY_MS, FeatureSet
from app.features.vector import is_large
from app.history.files import HistoryFiles
from app.history.historian import Historian
from app.models.training.history import History
from app.record.decision import DecisionRecord, encode
from app.record.effect import Effect, encode_effect
from app.streams.journal_tail import JournalTail
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.errors import RungError

__all__ = ["REGIONS", "WARM_UP_DAYS", "rehearse"]

REGIONS = ("us-east-1", "eu-west-1")
WARM_UP_DAYS = 7
BATCH_MIN, BATCH_MAX = 16, 64
HISTORY_ROWS_MAX = 20_000
TENANT = "demo"
NAN = float("nan")

Report = Callable[[float, str], None]


def rehearse(
    history: History,
    features: FeatureSet,
    home: Path,
    *,
    events: int,
    shards: int,
    seed: int,
    report: Report = lambda _share, _what: None,
) -> None:
    """Play the last attempts of a history; `home` then has the history of what was decided.

    Args:
        history: what to play; the attempts of `WARM_UP_DAYS` before are only counted.
        features: what is counted and read.
        home: an empty folder.
        events: attempts to decide, at most.
        shards: of each region's store.
        seed: of the uneven pace, and of outcomes, which histories lack.
        report: told the share done, 0 to 1, and what is being done.

    Raises:
        OperatorError: there is no datastore to run.
    """
    decided_from = max(len(history) - events, 0)
    warm_ms = int(history.received_ms[decided_from]) - WARM_UP_DAYS * DAY_MS
    start = int(np.searchsorted(history.received_ms, warm_ms))
    rng = np.random.default_rng(seed)
    script = Script(history.take(np.arange(start, len(history))), features, rng=rng)
    with datastores(home, count=len(REGIONS) * shards) as servers, ExitStack() as stack:
        regions = [
            stack.enter_context(
                RehearsalRegion(
                    name,
                    number,
                    home / name,
                    servers[number :: len(REGIONS)],
                    features=features,
                    rng=rng,
                )
            )
            for number, name in enumerate(REGIONS)
        ]
        play = _Play(script, features, regions, decided_from=decided_from - start, rng=rng)
        asyncio.run(play.run(lambda share: report(0.8 * share, "playing the attempts")))
    for region in regions:
        report(0.8 + 0.2 * region.number / len(REGIONS), f"keeping the history of {region.name}")
        _keep(region.folder)


class _Play:
    """Plays a script."""

    def __init__(
        self,
        script: Script,
        features: FeatureSet,
        regions: Sequence[RehearsalRegion],
        *,
        decided_from: int,
        rng: np.random.Generator,
    ) -> None:
        self._script = script
        self._features = features
        self._regions = regions
        self._decided_from = decided_from
        self._rng = rng
        # The home of each attempt, and so of what becomes known of it.
        self._home = rng.integers(len(regions), size=len(script))
        self._followed = 0
        self._now_ms = 0
        self._blank = np.full(
            len(features.numbers) - len(features.features) - 1, np.nan, dtype=np.float32
        )
        self._ratio_at = [feature.name for feature in features.features].index(RATIO_INPUT)

    async def run(self, report: Callable[[float], None]) -> None:
        """Play it to the end."""
        store = OnlineStore(
            [region.source() for region in self._regions],
            features=self._features,
            now_ms=lambda: self._now_ms,
            age_max_ms=DAY_MS,
            needed_ms=0.0,
        )
        try:
            for rows in self._batches():
                report(rows[0] / len(self._script))
                self._clock(int(self._script.received_ms[rows[-1]]))
                self._follow_up()
                if rows[0] < self._decided_from:
                    self._write(rows, [None] * len(rows))
                    for region in self._regions:
                        region.apply_all()
                else:
                    self._write(rows, await self._read(store, rows))
                    for region in self._regions:
                        region.apply_some()
        finally:
            await store.close()

    def _batches(self) -> Iterator[range]:
        """Rows that arrive together; none are both counted only and decided."""
        at, end = 0, len(self._script)
        while at < end:
            if at < self._decided_from:
                following = min(at + 512, self._decided_from)
            else:
                following = min(at + int(self._rng.integers(BATCH_MIN, BATCH_MAX + 1)), end)
            yield range(at, following)
            at = following

    def _clock(self, now_ms: int) -> None:
        self._now_ms = now_ms
        for region in self._regions:
            region.now_ms = now_ms

    async def _read(self, store: OnlineStore, rows: range) -> list[Streaming | None]:
        """Counters of the attempts; none for one that has nothing to ask for."""
        deadline = Deadline.after(budget_ms=TIMEOUT_MS, clock=SystemClock())
        script = self._script
        asks = [Ask(TENANT, script.ids(row), float(script.amount_ref[row])) for row in rows]
        found = await store.begin(asks, deadline).finish()
        for one in found:
            if isinstance(one, Exception) and not isinstance(one, RungError):
                raise one
        return [one if isinstance(one, Streaming) else None for one in found]

    def _write(self, rows: range, found: Sequence[Streaming | None]) -> None:
        for row, streaming in zip(rows, found, strict=True):
            self._regions[self._home[row]].decided(encode(self._record(row, streaming)))

    def _record(self, row: int, streaming: Streaming | None) -> DecisionRecord:
        script = self._script
        record = DecisionRecord(
            tenant=TENANT,
            decision_id=f"dec_{row}",
            attempt_id=f"att_{row}",
            received_ms=int(script.received_ms[row]),
            as_of_ms=self._now_ms,
            request=b"{}",
            amount_ref=int(script.amount_ref[row]),
            rates="rehearsal",
            entities={entity.value: id for entity, id in script.ids(row).items()},
            bits=script.bits(row),
            merchant={},
            action=str(script.actions[row]),
            ranking=0.0,
            rung="batch",
            not_higher={},
            reasons=[],
            versions={"features": str(self._features.schema)},
            deadline_ms=TIMEOUT_MS,
            took_ms=0.0,
        )
        return record if streaming is None else self._full(record, streaming)

    def _full(self, record: DecisionRecord, streaming: Streaming) -> DecisionRecord:
        """The record with what the full rung saw."""
        present = np.array([streaming.regions_present], dtype=np.float32)
        unknown = [b""] * (len(self._features.categories) - len(streaming.states))
        return replace(
            record,
            rung="full",
            as_of_ms=streaming.as_of_ms,
            large=is_large(float(streaming.inputs[self._ratio_at]), NAN),
            numbers=np.concatenate([self._blank, present, streaming.inputs]).tobytes(),
            categories=[*unknown, *streaming.states],
            positions=dict(streaming.positions),
            feature_age_ms=streaming.age_ms,
        )

    def _follow_up(self) -> None:
        """Write the effects of what is known by now."""
        script, follow_ups = self._script, self._script.follow_ups
        until = int(np.searchsorted(follow_ups.known_ms, self._now_ms, side="right"))
        for at in range(self._followed, until):
            row = int(follow_ups.attempt[at])
            effect = Effect(
                tenant=TENANT,
                of=f"rehearsal/{at}",
                what=str(Counted(int(follow_ups.what[at])).name).lower(),
                at_ms=int(follow_ups.at_ms[at]),
                received_ms=int(follow_ups.known_ms[at]),
                decision_id=f"dec_{row}",
                attempt_id=f"att_{row}",
                attempted_ms=int(script.received_ms[row]),
                amount_ref=int(script.amount_ref[row]),
                entities={entity.value: id for entity, id in script.ids(row).items()},
                bits=script.bits(row),
            )
            self._regions[self._home[row]].joined(encode_effect(effect))
        self._followed = until


def _keep(folder: Path) -> None:
    """Bring a region's history to the end of its journals."""
    historian = Historian(
        JournalTail(folder / "journal"),
        HistoryFiles(folder / "history", rows_max=HISTORY_ROWS_MAX),
        monotonic=time.monotonic,
        rows_max=HISTORY_ROWS_MAX,
        linger_s=3_600.0,
    )
    historian.resume()
    while historian.step():
        pass
    historian.flush()
