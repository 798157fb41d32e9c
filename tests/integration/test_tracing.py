"""Spans of decisions reach a collector over OTLP; a collector that is away costs spans alone."""

from __future__ import annotations

import http.server
import random
import socket
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app import tracing
from app.telemetry import Telemetry
from app.tracing import Trace, Tracing, export_to

TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@dataclass
class Collector:
    url: str
    spans: list
    resources: list


@pytest.fixture
def collector():
    found = Collector("", [], [])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found.resources.append(of_resource.resource)
                for of_scope in of_resource.scope_spans:
                    found.spans += of_scope.spans
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def black_hole():
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces"


def made(trace=TRACE):
    descent = SimpleNamespace(elapsed_ms=3.5)
    asked = SimpleNamespace(trace=trace, deadline_ms=80)
    return SimpleNamespace(asked=asked, descent=descent)


ANSWER = SimpleNamespace(
    decision_id="dec_1",
    rung="batch",
    action="step_up",
    not_higher={"full": "timeout"},
    feature_age_ms=40,
    took_ms=12.5,
)


def tracing_to(url, *, share=1.0, seed=7):
    telemetry = Telemetry()
    rng = random.Random(seed)
    return Tracing(
        export_to(url), share=share, region="eu-west-1", telemetry=telemetry, rng=rng
    ), telemetry.counters


async def test_a_decision_is_a_span_of_its_callers_trace(collector):
    traces, counters = tracing_to(collector.url)
    traces.decided(made(), ANSWER)
    await traces.flush()
    [span] = collector.spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == TRACE
    assert span.end_time_unix_nano - span.start_time_unix_nano == 12_500_000
    said = {one.key: one.value for one in span.attributes}
    assert said["stepdown.rung"].string_value == "batch"
    assert said["stepdown.not_higher.full"].string_value == "timeout"
    [resource] = collector.resources
    assert {one.key: one.value.string_value for one in resource.attributes}["cloud.region"] == (
        "eu-west-1"
    )
    assert counters["spans_exported"] == 1


async def test_a_decision_without_a_trace_begins_one(collector):
    traces, _ = tracing_to(collector.url)
    traces.decided(made(None), ANSWER)
    traces.decided(made(None), ANSWER)
    await traces.flush()
    one, other = collector.spans
    assert one.trace_id != other.trace_id
    assert not one.parent_span_id


async def test_the_share_is_drawn_from_the_trace_id_so_that_services_keep_the_same_ones(collector):
    rng = random.Random(3)
    callers = [Trace(f"{rng.getrandbits(128):032x}", "b7ad6b7169203331") for _ in range(4_000)]
    kept = []
    for seed in (1, 2):
        traces, _ = tracing_to(collector.url, share=0.05, seed=seed)
        collector.spans.clear()
        for trace in callers:
            traces.decided(made(trace), ANSWER)
        await traces.flush()
        kept.append({span.trace_id for span in collector.spans})
    assert kept[0] == kept[1]
    assert 120 < len(kept[0]) < 280


async def test_of_decisions_without_a_trace_the_share_is_drawn(collector):
    traces, _ = tracing_to(collector.url, share=0.05)
    for _ in range(4_000):
        traces.decided(made(None), ANSWER)
    await traces.flush()
    assert 120 < len(collector.spans) < 280


async def test_a_collector_that_is_a_black_hole_costs_spans_and_no_time(black_hole, monkeypatch):
    monkeypatch.setattr(tracing, "TIMEOUT_S", 0.3)
    traces, counters = tracing_to(black_hole)
    started = time.perf_counter()
    for _ in range(tracing.QUEUE_MAX + 10):
        traces.decided(made(), ANSWER)
    assert time.perf_counter() - started < 2.0
    assert counters["spans_dropped"] == 10
    await traces.flush()
    assert counters["spans_dropped"] == tracing.QUEUE_MAX + 10
    assert counters["spans_exported"] == 0
