"""What runs beside the requests starts and stops with the process."""

from __future__ import annotations

import asyncio
import gc
import logging
from types import SimpleNamespace

import pytest

from app.features import kernel
from app.settings import ScorerSettings
from app.telemetry import Telemetry
from app.wiring.lifespan import Lifespan

pytestmark = pytest.mark.enable_socket  # the push to the aggregator has one


@pytest.fixture(autouse=True)
def collector_as_it_was():
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


class Waiting:
    """Runs until it is cancelled; says what was asked of it."""

    def __init__(self):
        self.said = []
        self.recorder = SimpleNamespace(
            written=0, missing=0, close=lambda: self.said.append("recorder closed")
        )

    async def run(self):
        self.said.append("running")
        await asyncio.Event().wait()

    measure = run

    async def flush(self):
        self.said.append("flushed")

    async def close(self):
        self.said.append("source closed")


def lifespan_of(one, *, tracing=True):
    shared = SimpleNamespace(settings=ScorerSettings(operations_port=9), telemetry=Telemetry())
    return Lifespan(
        shared=shared,
        lag=one,
        probes=one,
        holdings=SimpleNamespace(refresh=lambda: None, gauges=dict),
        tracing=one if tracing else None,
        background=None,
        sources=[one],
        recorder=one.recorder,
    )


async def test_spans_that_wait_are_exported_before_the_process_ends():
    one = Waiting()
    async with lifespan_of(one).run(None):
        await asyncio.sleep(0.01)
        assert one.said == ["running"] * 3
    assert one.said[3:] == ["flushed", "source closed", "recorder closed"]


async def test_a_process_without_the_compiled_kernel_says_so_and_runs(monkeypatch, caplog):
    monkeypatch.setattr(kernel, "BUILT", False)
    with caplog.at_level(logging.WARNING):
        async with lifespan_of(Waiting(), tracing=False).run(None):
            pass
    assert "no compiled kernel" in caplog.text


async def test_a_process_with_it_says_nothing(monkeypatch, caplog):
    monkeypatch.setattr(kernel, "BUILT", True)
    with caplog.at_level(logging.WARNING):
        async with lifespan_of(Waiting(), tracing=False).run(None):
            pass
    assert not caplog.text
