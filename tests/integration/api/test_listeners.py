"""What the two listeners say of the service: health, counts, documentation."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.api.docs import openapi
from tests.integration.api.setting import T, assert_problem, call, eventually, post, text

PUSH_S = 1.0  # between two pushes of a scorer's counts
PUSHED_S = 10.0  # longest wait for a decision to be in the metrics


def settled(read: Callable[[], T]) -> T:
    """What is read once everything from before has been pushed."""
    now = read()
    while True:
        time.sleep(PUSH_S * 1.3)
        before, now = now, read()
        if now == before:
            return now


def test_it_is_alive_and_ready_on_both_listeners(service):
    for base in (service.api, service.operations):
        assert call(base, "GET", "/livez").json == {"status": "alive"}
        ready = call(base, "GET", "/readyz")
        assert ready.status == 200
        assert list(ready.json["rungs"]) == ["full", "batch", "rules", "tier_default"]
        assert ready.json["refused"] == {}


def test_a_live_service_says_that_it_is_no_replay(service):
    assert call(service.api, "GET", "/readyz").json["replay"] is False


def test_decisions_are_counted_by_rung(service):
    before = settled(lambda: decided_by_rung(service))
    rungs = [post(service, text()).json["rung"] for _ in range(5)]
    wanted = {rung: count + rungs.count(rung) for rung, count in before.items()}
    assert eventually(lambda: decided_by_rung(service) == wanted, PUSHED_S)


def test_refusals_are_counted_by_status(service):
    series = 'stepdown_requests_refused_total{status="415"}'
    before = metric(service, series)
    post(service, text(), Content_Type="text/plain")
    assert eventually(lambda: metric(service, series) > before, PUSHED_S)


def test_the_documentation_comes_as_data_and_as_a_page(service):
    document = call(service.api, "GET", "/openapi.json")
    assert document.json == openapi()
    page = call(service.api, "GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert b"<script" not in page.body
    problem = assert_problem(post(service, b"[]"), 422)
    path, _, anchor = problem["type"].partition("#")
    assert f"id='{anchor}'".encode() in call(service.api, "GET", path).body


def metric(service, *parts: str) -> float:
    """The sum of the series that hold all of these parts."""
    lines = call(service.operations, "GET", "/metrics").body.decode().splitlines()
    found = [line for line in lines if all(part in line for part in parts)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def decided_by_rung(service) -> dict[str, float]:
    rungs = ("full", "batch", "rules", "tier_default")
    return {rung: metric(service, "stepdown_decisions_total{", f'rung="{rung}"') for rung in rungs}
