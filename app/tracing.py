"""Traces of a share of the decisions, as OpenTelemetry spans, by hand and after the answer is made.

Auto-instrumentation costs more CPU than the decision itself, and a span that is recorded while its
decision is made costs 19 us. Here a decision that is not in the share pays one comparison; one that
is becomes a finished span, put into a bounded queue from which a thread exports once in a while.
A collector that is slow, gone or a black hole costs spans, which are counted, and never an answer.

The share is drawn from the trace id, so that services which sample the same share keep the same
traces. The caller's own sampling flag is not followed: it would let a caller choose our cost.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from app.telemetry import Telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from app.api.wire import Decision
    from app.record.made import Made

__all__ = ["Export", "Trace", "Tracing", "available", "export_to"]

QUEUE_MAX = 2_048
EXPORT_S = 2.0
TIMEOUT_S = 2.0
_WIDE = 1 << 64

log = logging.getLogger(__name__)

Export = Callable[[Sequence["ReadableSpan"]], bool]


class Trace(NamedTuple):
    """A caller's trace (W3C Trace Context).

    Attributes:
        id: of the trace, 32 hexadecimal digits.
        parent: of the caller's span, 16.
    """

    id: str
    parent: str


class _Spans(Protocol):
    """Makes a finished span of a decision."""

    def __call__(self, made: Made, answer: Decision, trace_id: int, ended_ns: int) -> Any: ...


def available() -> bool:
    """Whether the packages of the extra `tracing` are installed."""
    return find_spec("opentelemetry.exporter.otlp.proto.http") is not None


class Tracing:
    """Samples decisions and exports their spans, in one process. Made after the fork."""

    def __init__(
        self,
        export: Export,
        *,
        share: float,
        region: str,
        telemetry: Telemetry,
        rng: random.Random,
        export_s: float = EXPORT_S,
    ) -> None:
        """Make it.

        Args:
            export: hands spans over; returns whether they were taken. Runs in a thread.
            share: of decisions that are traced, 0 to 1.
            region: of this process, an attribute of its resource.
            telemetry: counts spans exported and dropped.
            rng: draws the share of decisions that come without a trace.
            export_s: between two exports.
        """
        self._export = export
        self._share = share
        self._telemetry = telemetry
        self._rng = rng
        self._export_s = export_s
        self._span = _spans_of(region)
        self._queue: deque[ReadableSpan] = deque()

    def decided(self, made: Made, answer: Decision) -> None:
        """Trace a decision, if it is in the share."""
        if made.asked.trace is None:
            if self._rng.random() >= self._share:
                return
            trace_id = secrets.randbits(128) or 1
        else:
            trace_id = int(made.asked.trace.id, 16)
            if trace_id % _WIDE >= self._share * _WIDE:
                return
        if len(self._queue) >= QUEUE_MAX:
            self._telemetry.count("spans_dropped")
            return
        self._queue.append(self._span(made, answer, trace_id, time.time_ns()))

    async def run(self) -> None:
        """Export for the life of the process."""
        while True:
            await asyncio.sleep(self._export_s)
            await self.flush()

    async def flush(self) -> None:
        """Export what waits; what cannot be handed over is dropped and counted."""
        spans = [self._queue.popleft() for _ in range(len(self._queue))]
        if not spans:
            return
        try:
            taken = await asyncio.to_thread(self._export, spans)
        except Exception:
            log.exception("spans could not be exported")
            taken = False
        self._telemetry.count("spans_exported" if taken else "spans_dropped", by=len(spans))


def export_to(endpoint: str) -> Export:
    """Exports by OTLP over HTTP.

    Args:
        endpoint: of the collector, `http://host:4318/v1/traces`.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)
    # It logs every failed export in full; the counter says as much.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    return lambda spans: exporter.export(spans) is SpanExportResult.SUCCESS


def _spans_of(region: str) -> _Spans:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags  # noqa: PLC0415

    resource = Resource({"service.name": "stepdown", "cloud.region": region})
    scope = InstrumentationScope("stepdown")
    sampled = TraceFlags(TraceFlags.SAMPLED)

    def context(trace_id: int, span_id: int, *, remote: bool = False) -> SpanContext:
        return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=sampled)

    def span(made: Made, answer: Decision, trace_id: int, ended_ns: int) -> ReadableSpan:
        # No ids of payment attempts or their parties: traces are read by more people than records.
        attributes: dict[str, str | float] = {
            "stepdown.decision_id": answer.decision_id,
            "stepdown.rung": answer.rung,
            "stepdown.action": answer.action,
            "stepdown.ladder_ms": made.descent.elapsed_ms,
            "stepdown.deadline_ms": made.asked.deadline_ms,
        }
        for rung, reason in answer.not_higher.items():
            attributes[f"stepdown.not_higher.{rung}"] = reason
        if answer.feature_age_ms is not None:
            attributes["stepdown.feature_age_ms"] = answer.feature_age_ms
        parent = None
        if made.asked.trace is not None:
            parent = context(trace_id, int(made.asked.trace.parent, 16), remote=True)
        return ReadableSpan(
            "decide",
            context=context(trace_id, secrets.randbits(64) or 1),
            parent=parent,
            resource=resource,
            attributes=attributes,
            kind=SpanKind.SERVER,
            start_time=ended_ns - int(answer.took_ms * 1e6),
            end_time=ended_ns,
            instrumentation_scope=scope,
        )

    return span
