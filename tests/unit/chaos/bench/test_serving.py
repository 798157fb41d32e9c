"""A run in figures: what is void, what is counted, what is sent."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from chaos.bench.cpu import Cores
from chaos.bench.generator import LAG_MS_MAX, Sent
from chaos.bench.serving import Serving, latency_of, request, rungs_of


def sent(**changes):
    facts = Sent(
        due_s=[0.1 * at for at in range(100)],
        latency_ms=[float(at + 1) for at in range(100)],
        rung=[0] * 90 + [1] * 9 + [-1],
        rungs=["full", "rules"],
        failures={},
        lag_ms=50.0,
        lag_p999_ms=1.0,
    )
    return msgspec.structs.replace(facts, **changes)


def test_a_late_generator_makes_latency_void():
    latency = latency_of(sent(lag_p999_ms=LAG_MS_MAX + 0.1))
    assert (latency.p50, latency.p99, latency.p999) == (None, None, None)


def test_a_single_late_send_does_not():
    latency = latency_of(sent(lag_ms=50.0, lag_p999_ms=LAG_MS_MAX))
    assert latency.p50 == pytest.approx(50.5)
    assert latency.p99 == pytest.approx(99.01)
    assert latency.p999 == pytest.approx(99.901)


def test_no_answer_has_no_latency():
    assert latency_of(sent(latency_ms=[])).p50 is None


def test_rungs_are_shares_and_an_answer_without_one_is_none():
    assert rungs_of(sent()) == {"full": 0.9, "rules": 0.09, "none": 0.01}


def test_a_request_is_whole_http():
    whole = request("/v1/decisions", {"Host": "h:1", "X-Api-Key": "k"}, b'{"a":1}')
    assert whole == (
        b"POST /v1/decisions HTTP/1.1\r\nHost: h:1\r\nX-Api-Key: k\r\n"
        b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
    )


def test_a_header_is_added_to_every_request_and_to_no_body():
    body = b'{"a":"\\r\\n"}'
    serving = Serving(
        host="h",
        port=1,
        requests=[request("/", {"Host": "h"}, body)] * 2,
        cores=Cores(frozenset({0}), frozenset({0})),
        trees=dict,
    )
    for one in serving.with_header(b"X-Deadline-Ms: 20").requests:
        head, _, rest = one.partition(b"\r\n\r\n")
        assert head.startswith(b"POST / HTTP/1.1\r\nX-Deadline-Ms: 20\r\nHost: h\r\n")
        assert rest == body
    assert replace(serving).requests[0].count(b"X-Deadline-Ms") == 0
