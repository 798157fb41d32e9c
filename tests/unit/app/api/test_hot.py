"""The hot route as an ASGI callable: what it reads, what it refuses, what it counts."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.api.auth import Scope, add_key, load_keys
from app.api.hot import PATH, Front, LoopLag
from app.api.wire import Decision
from app.gathering import Gathering
from app.telemetry import Telemetry
from fallback.clock import ManualClock, SystemClock

BODY = json.dumps(
    {
        "attempt_id": "a1",
        "amount": {"value": 2_500, "currency": "EUR"},
        "merchant": {"id": "mer_1"},
        "instrument": {"token": "tok_12345"},
    }
).encode()


class FakeDecider:
    """Answers everything and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    async def decide(self, attempt, canonical, *, caller, deadline, deadline_ms, retry, trace):
        self.asked.append((attempt, canonical, caller, deadline, deadline_ms, retry))
        return Decision(
            decision_id="dec_1",
            attempt_id=attempt.attempt_id,
            action="approve",
            score=None,
            rung="rules",
            not_higher={},
            reasons=[],
            thresholds=None,
            model=None,
            policy_version=1,
            region="us-east-1",
            as_of="2026-07-01T00:00:00.000Z",
            feature_age_ms=None,
            took_ms=1.5,
            token="v1.a.b",
        )


class Caller:
    """Sends requests to the front and reads what it sends back."""

    def __init__(self, folder):
        self.decider = FakeDecider()
        self.telemetry = Telemetry()
        self.lag = LoopLag(ManualClock(), told=lambda _ms: None)
        self.behind = []
        self.key = add_key(folder / "keys.json", tenant="acme", scopes=[Scope.DECIDE])
        keys = load_keys(folder / "keys.json")
        self.front = Front(
            self.serve_behind,
            decider=lambda: self.decider,
            keys=lambda: keys,
            telemetry=self.telemetry,
            clock=ManualClock(),
            lag=self.lag,
            gathering=Gathering(SystemClock(), every_ms=1.0, told=lambda: None),
            deadline_ms=80,
            body_wait_s=0.01,
        )

    async def serve_behind(self, scope, receive, send):
        self.behind.append(scope)

    async def post(self, *pieces, method="POST", path=PATH, headers=()):
        own = {"x-api-key": self.key, "content-type": "application/json", **dict(headers)}
        return await self.request(
            [(name.encode(), value.encode()) for name, value in own.items() if value is not None],
            [
                {"type": "http.request", "body": piece, "more_body": at < len(pieces) - 1}
                for at, piece in enumerate(pieces or (BODY,))
            ],
            method=method,
            path=path,
        )

    async def request(self, headers, messages, *, method="POST", path=PATH):
        waiting, sent = iter(messages), []

        async def receive():
            try:
                return next(waiting)
            except StopIteration:
                return await asyncio.Future()  # nothing more comes, as from a slow caller

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        await self.front(scope, receive, send)
        if not sent:
            return None
        start, end = sent
        return start["status"], dict(start["headers"]), json.loads(end["body"])


@pytest.fixture
def caller(tmp_path):
    return Caller(tmp_path)


async def test_an_attempt_is_decided_and_counted(caller):
    status, headers, answer = await caller.post()
    assert (status, answer["action"]) == (200, "approve")
    assert headers[b"content-type"] == b"application/json"
    assert caller.telemetry.counters == {"decisions\0rules\0approve": 1}
    assert caller.telemetry.latency_sum_ms == 1.5


async def test_the_decider_gets_the_attempt_its_caller_and_its_deadline(caller):
    await caller.post(headers={"x-deadline-ms": "50", "x-attempt-retry": "2"})
    ((attempt, canonical, who, deadline, deadline_ms, retry),) = caller.decider.asked
    assert (attempt.attempt_id, who.tenant, deadline_ms, retry) == ("a1", "acme", 50, 2)
    assert json.loads(canonical) == json.loads(BODY)
    assert deadline.remaining_ms() == pytest.approx(50)


async def test_a_caller_cannot_ask_for_more_time_than_the_service_has(caller):
    await caller.post(headers={"x-deadline-ms": "100"})
    assert caller.decider.asked[0][4] == 80


async def test_the_wait_before_the_loop_looked_counts_against_the_deadline(caller):
    caller.lag.ms = 30.0
    await caller.post()
    assert caller.decider.asked[0][3].remaining_ms() == pytest.approx(50)


async def test_every_other_path_goes_to_the_app_behind(caller):
    await caller.post(path="/livez", method="GET")
    assert [scope["path"] for scope in caller.behind] == ["/livez"]
    assert not caller.decider.asked


async def test_other_kinds_of_connection_go_to_the_app_behind(caller):
    scope = {"type": "lifespan"}
    await caller.front(scope, None, None)
    assert caller.behind == [scope]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"x-api-key": None}),
        (401, {"x-api-key": "sk_1_wrong"}),
        (400, {"x-deadline-ms": "19"}),
        (400, {"x-attempt-retry": "-1"}),
        (415, {"content-type": None}),
        (415, {"content-type": "text/plain"}),
        (415, {"content-type": "application/json; charset=latin-1"}),
        (415, {"content-encoding": "gzip"}),
        (413, {"content-length": "16385"}),
    ],
)
async def test_headers_that_will_not_do_are_refused_and_counted(caller, status, headers):
    got, named, problem = await caller.post(headers=headers)
    assert got == problem["status"] == status
    assert named[b"content-type"] == b"application/problem+json"
    assert caller.telemetry.counters == {f"requests_refused\0{status}": 1}
    assert not caller.decider.asked


@pytest.mark.parametrize("name", ["x-api-key", "x-deadline-ms", "x-attempt-retry", "content-type"])
async def test_a_header_twice_is_ambiguous(caller, name):
    value = {"x-api-key": caller.key, "content-type": "application/json"}.get(name, "50")
    headers = [(name.encode(), value.encode())] * 2
    status, _, problem = await caller.request(headers, [])
    assert status == 400
    assert name in problem["detail"]


async def test_another_method_is_told_which_one_to_use(caller):
    status, headers, _ = await caller.post(method="GET")
    assert (status, headers[b"allow"]) == (405, b"POST")


async def test_a_body_in_pieces_is_put_together(caller):
    status, _, _ = await caller.post(BODY[:10], BODY[10:20], BODY[20:])
    assert status == 200


async def test_a_body_in_pieces_is_refused_as_soon_as_it_is_too_large(caller):
    status, _, _ = await caller.post(*[b" " * 9_000] * 100)
    assert status == 413


async def test_a_body_of_just_the_limit_is_read(caller):
    status, _, _ = await caller.post(BODY.ljust(16 * 1_024))
    assert status == 200


async def test_a_body_that_never_ends_is_not_waited_for(caller):
    key = [(b"x-api-key", caller.key.encode()), (b"content-type", b"application/json")]
    status, _, problem = await caller.request(
        key, [{"type": "http.request", "body": BODY[:10], "more_body": True}]
    )
    assert status == 400
    assert "did not come" in problem["detail"]


@pytest.mark.parametrize(
    "before", [[], [{"type": "http.request", "body": b"{", "more_body": True}]]
)
async def test_a_caller_who_hangs_up_gets_no_answer_and_is_counted(caller, before):
    key = [(b"x-api-key", caller.key.encode()), (b"content-type", b"application/json")]
    assert await caller.request(key, [*before, {"type": "http.disconnect"}]) is None
    assert caller.telemetry.counters == {"requests_refused\x00499": 1}


async def test_the_loop_s_lag_is_how_late_a_timer_is():
    clock = ManualClock()
    told = []
    lag = LoopLag(clock, told=told.append, every_s=0.0)
    measuring = asyncio.create_task(lag.measure())
    await asyncio.sleep(0)
    clock.advance(0.03)
    await asyncio.sleep(0)
    assert lag.ms == pytest.approx(30)
    assert told == [lag.ms]
    measuring.cancel()
