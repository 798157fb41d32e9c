"""What runs beside the requests in one scorer process, from its start to its stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from app.api.hot import LoopLag
from app.background import Background
from app.features import kernel
from app.features.online import Source
from app.readiness import Holdings, Probes
from app.record.recorder import Recorder
from app.telemetry import Pusher
from app.tracing import Tracing
from app.wiring.shared import Shared

__all__ = ["Lifespan"]

log = logging.getLogger(__name__)

PUSH_S = 1.0
SWITCH_S = 0.0005


@dataclass(frozen=True, kw_only=True)
class Lifespan:
    """What is started with the process, and closed with it.

    Attributes:
        shared: of the process.
        lag: of the event loop, measured.
        probes: of the sources.
        holdings: what is followed on disk, and how things stand.
        tracing: of a share of the decisions; None for none.
        background: what follows a share of the answers; None for nothing.
        sources: of counters, closed at the end.
        recorder: of decisions, closed at the end.
    """

    shared: Shared
    lag: LoopLag
    probes: Probes
    holdings: Holdings
    tracing: Tracing | None
    background: Background | None
    sources: Sequence[Source]
    recorder: Recorder

    @asynccontextmanager
    async def run(self, _: FastAPI) -> AsyncIterator[None]:
        """The lifespan, as ASGI has it."""
        _spare_what_stays()
        if not kernel.BUILT:
            log.warning("no compiled kernel: numpy merges instead, slower; 'make setup' builds it")
        works = [self.lag.measure(), self.probes.run(), self._follow(), self._push()]
        if self.tracing is not None:
            works.append(self.tracing.run())
        if self.background is not None:
            works.append(self.background.run())
        tasks = [asyncio.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.tracing is not None:
            await self.tracing.flush()
        for source in self.sources:
            await source.close()
        self.recorder.close()

    async def _follow(self) -> None:
        """Follow what is published; the disk work is not for the loop's thread."""
        while True:
            await asyncio.sleep(self.shared.settings.poll_s)
            try:
                await asyncio.to_thread(self.holdings.refresh)
            except Exception:
                log.exception("what is published could not be looked at")
                self.shared.telemetry.count("bugs", "refresh")

    async def _push(self) -> None:
        settings, telemetry = self.shared.settings, self.shared.telemetry
        pusher = Pusher(settings.api_host, settings.operations_port, telemetry)
        with contextlib.closing(pusher):
            while True:
                try:
                    self._count_records()
                    pusher.send(self.holdings.gauges)
                except Exception:
                    log.exception("telemetry could not be pushed")
                    telemetry.count("bugs", "push")
                await asyncio.sleep(PUSH_S)

    def _count_records(self) -> None:
        counters = self.shared.telemetry.counters
        counters["journal_records"] = self.recorder.written
        counters["journal_missing"] = self.recorder.missing


def _spare_what_stays() -> None:
    """Keep the collector off what lives as long as the process: walking it stops every decision.

    What decisions leave behind is freed by reference counts; cycles are rare, and few objects are
    left to look for them in.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    # A thread that computes (what follows the disk does) gives the loop's its turn back after that.
    sys.setswitchinterval(SWITCH_S)
