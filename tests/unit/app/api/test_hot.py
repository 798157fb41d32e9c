"""The hot route, as an ASGI callable and the short way: what it reads, refuses and counts."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from app.api.auth import Scope, add_key, load_keys
from app.api.hot import PATH, Front, LoopLag
from app.api.problem import Conflict
from app.telemetry import Telemetry
from fallback.clock import ManualClock
from tests.unit.app.api.setting import BODY, FakeDecider


class Waits:
    """Who waits for an answer on the short way."""

    def __init__(self, told=lambda _answer: None, *, disconnected=False):
        self.respond = told
        self.disconnected = disconnected


class Caller:
    """Sends requests to the front and reads what it sends back, the long way or the short one."""

    def __init__(self, folder):
        self.decider = FakeDecider()
        self.short = False
        self.telemetry = Telemetry()
        self.lag = LoopLag(ManualClock(), told=lambda _ms: None)
        self.behind = []
        self.key = add_key(folder / "keys.json", tenant="acme", scopes=[Scope.DECIDE])
        self.keys = load_keys(folder / "keys.json")
        self.front = Front(
            self.serve_behind,
            decider=lambda: self.decider,
            keys=lambda: self.keys,
            telemetry=self.telemetry,
            clock=ManualClock(),
            lag=self.lag,
            gather_ms=1.0,
            deadline_ms=80,
            body_wait_s=0.01,
        )

    async def serve_behind(self, scope, receive, send):
        self.behind.append(scope)

    async def post(self, *pieces, method="POST", path=PATH, headers=()):
        own = {"x-api-key": self.key, "content-type": "application/json", **dict(headers)}
        raw = [(name.encode(), value.encode()) for name, value in own.items() if value is not None]
        if self.short:
            return await self.take(raw, b"".join(pieces or (BODY,)))
        return await self.request(
            raw,
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

    async def take(self, headers, body):
        answers = asyncio.Queue()
        self.front.take(headers, body, Waits(answers.put_nowait))
        status, named, content = await answers.get()
        assert answers.empty()
        return status, dict(named), json.loads(content)


@pytest.fixture
def caller(tmp_path):
    return Caller(tmp_path)


@pytest.fixture(params=["long", "short"])
def either(request, caller):
    """A caller whose requests take one way or the other."""
    caller.short = request.param == "short"
    return caller


async def test_an_attempt_is_decided_and_counted(either):
    status, headers, answer = await either.post()
    assert (status, answer["action"]) == (200, "approve")
    assert headers[b"content-type"] == b"application/json"
    assert either.telemetry.counters == {"decisions\0rules\0approve": 1}
    assert either.telemetry.latency_sum_ms == 1.5


async def test_the_decider_gets_the_attempt_its_caller_and_its_deadline(either):
    await either.post(headers={"x-deadline-ms": "50", "x-attempt-retry": "2"})
    ((attempt, canonical, who, deadline, deadline_ms, retry),) = either.decider.asked_for
    assert (attempt.attempt_id, who.tenant, deadline_ms, retry) == ("a1", "acme", 50, 2)
    assert json.loads(canonical) == json.loads(BODY)
    assert deadline.remaining_ms() == pytest.approx(50)


async def test_a_caller_cannot_ask_for_more_time_than_the_service_has(either):
    await either.post(headers={"x-deadline-ms": "100"})
    assert either.decider.asked_for[0][4] == 80


async def test_the_wait_before_the_loop_looked_counts_against_the_deadline(either):
    either.lag.ms = 30.0
    await either.post()
    assert either.decider.asked_for[0][3].remaining_ms() == pytest.approx(50)


async def test_every_other_path_goes_to_the_app_behind(caller):
    await caller.post(path="/livez", method="GET")
    assert [scope["path"] for scope in caller.behind] == ["/livez"]
    assert not caller.decider.asked_for


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
    ],
)
async def test_headers_that_will_not_do_are_refused_and_counted(either, status, headers):
    got, named, problem = await either.post(headers=headers)
    assert got == problem["status"] == status
    assert named[b"content-type"] == b"application/problem+json"
    assert either.telemetry.counters == {f"requests_refused\0{status}": 1}
    assert not either.decider.asked_for


async def test_a_length_over_the_limit_is_refused_before_the_body_is_read(caller):
    status, _, _ = await caller.post(headers={"content-length": "16385"})
    assert status == 413
    assert caller.telemetry.counters == {"requests_refused\x00413": 1}
    assert not caller.decider.asked_for


@pytest.mark.parametrize("name", ["x-api-key", "x-deadline-ms", "x-attempt-retry", "content-type"])
async def test_a_header_twice_is_ambiguous(either, name):
    value = {"x-api-key": either.key, "content-type": "application/json"}.get(name, "50")
    headers = [(name.encode(), value.encode())] * 2
    asked = either.take(headers, b"") if either.short else either.request(headers, [])
    status, _, problem = await asked
    assert status == 400
    assert name in problem["detail"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"{"),
        (400, b'{"attempt_id": "\xff"}'),
        (400, BODY.replace(b"{", b'{"attempt_id": "a0", ', 1)),
        (422, b"{}"),
        (422, b"[]"),
        (422, BODY.replace(b"2500", b"-1")),
        (422, BODY.replace(b"tok_12345", b"4111111111111111")),
    ],
)
async def test_a_body_that_will_not_do_is_refused_and_counted(either, status, body):
    got, _, problem = await either.post(body)
    assert got == problem["status"] == status
    assert problem["instance"] == PATH
    assert either.telemetry.counters == {f"requests_refused\0{status}": 1}
    assert not either.decider.batches


REFUSED = [
    ({"x-api-key": None}, BODY),
    ({"x-api-key": "sk_1_wrong"}, BODY),
    ({"x-deadline-ms": "soon"}, BODY),
    ({"x-attempt-retry": "1.5"}, BODY),
    ({"content-type": "text/plain"}, BODY),
    ({"content-encoding": "br"}, BODY),
    ({}, b""),
    ({}, b"{"),
    ({}, b"{}"),
    ({}, BODY.replace(b"EUR", b"euros")),
]


@pytest.mark.parametrize(("headers", "body"), REFUSED)
async def test_a_refusal_is_the_same_to_the_byte_on_either_way(caller, headers, body):
    long = await caller.post(body, headers=headers)
    caller.short = True
    assert await caller.post(body, headers=headers) == long
    assert 400 <= long[0] < 500


async def test_an_answer_is_the_same_on_either_way(caller):
    long = await caller.post()
    caller.short = True
    assert await caller.post() == long


async def test_what_the_decider_refuses_is_a_problem_of_the_request(either):
    either.decider.says = Conflict("This attempt_id was sent before with another body.")
    status, headers, problem = await either.post()
    assert (status, problem["type"]) == (409, "/docs/problems#conflict")
    assert headers[b"content-type"] == b"application/problem+json"
    assert either.telemetry.counters == {"requests_refused\x00409": 1}


class Broken:
    """A decider, or keys, that have a bug."""

    def asked(self, *_arguments, **_named):
        raise ZeroDivisionError

    def authenticate(self, *_arguments):
        raise ZeroDivisionError


@pytest.mark.parametrize("where", ["keys", "asked", "told"])
async def test_a_bug_that_costs_an_answer_is_a_problem_of_ours_logged_and_counted(
    either, where, caplog
):
    if where == "keys":
        either.keys = Broken()
    elif where == "asked":
        either.decider = Broken()
    else:
        either.decider.says = ZeroDivisionError()
    status, headers, problem = await either.post()
    assert status == problem["status"] == 500
    assert headers[b"content-type"] == b"application/problem+json"
    assert problem["type"] == "/docs/problems#failed"
    assert either.telemetry.counters == {"bugs\0front": 1}
    (logged,) = caplog.records
    assert logged.exc_info[0] is ZeroDivisionError


async def test_requests_of_one_moment_are_decided_together_whichever_way_they_came(caller):
    def body(id):
        return BODY.replace(b"a1", id)

    async def taken(id):
        key = [(b"x-api-key", caller.key.encode()), (b"content-type", b"application/json")]
        return await caller.take(key, body(id))

    answers = await asyncio.gather(taken(b"a1"), caller.post(body(b"a2")), taken(b"a3"))
    assert [answer["attempt_id"] for _, _, answer in answers] == ["a1", "a2", "a3"]
    assert [sorted(batch) for batch in caller.decider.batches] == [["a1", "a2", "a3"]]


async def test_the_decider_is_told_how_many_cannot_begin_yet(caller):
    headers = [(b"x-api-key", caller.key.encode()), (b"content-type", b"application/json")]
    await asyncio.gather(*[caller.take(headers, BODY) for _ in range(100)])
    sizes = [len(batch) for batch in caller.decider.batches]
    assert sum(sizes) == 100
    assert list(zip(sizes, caller.decider.behind, strict=True)) == [(64, 36), (36, 0)]


async def test_what_arrives_is_not_looked_at_before_its_batch_begins(caller):
    answers = []
    caller.front.take([], BODY, Waits(answers.append))
    assert answers == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert [answer.status for answer in answers] == [401]


async def test_nothing_is_decided_for_who_has_hung_up_before_his_batch_begins(caller):
    headers = [(b"x-api-key", caller.key.encode()), (b"content-type", b"application/json")]
    caller.front.take(headers, BODY.replace(b"a1", b"a2"), Waits(disconnected=True))
    assert (await caller.take(headers, BODY))[0] == 200
    assert caller.decider.batches == [["a1"]]
    assert caller.telemetry.counters["requests_refused\x00499"] == 1


async def test_how_long_the_oldest_has_waited_is_known_and_nothing_where_nobody_does(caller):
    assert caller.front.waiting_ms() == 0.0
    for _ in range(2):
        caller.front.take([], BODY, Waits())
        caller.front._clock.advance(0.02)
    assert caller.front.waiting_ms() == pytest.approx(40)
    for _ in range(3):
        await asyncio.sleep(0)
    assert caller.front.waiting_ms() == 0.0


async def test_the_wait_for_a_batch_counts_against_the_deadline(caller):
    headers = [(b"x-api-key", caller.key.encode()), (b"content-type", b"application/json")]
    caller.front.take(headers, BODY, Waits())
    caller.front._clock.advance(0.03)
    for _ in range(3):
        await asyncio.sleep(0)
    assert caller.decider.asked_for[0][3].remaining_ms() == pytest.approx(50)


@pytest.mark.parametrize("headers", [{}, {"x-api-key": None}])
async def test_an_answer_says_how_long_it_is(either, headers):
    _, named, answer = await either.post(headers=headers)
    assert int(named[b"content-length"]) == len(msgspec.json.encode(answer))


async def test_another_method_is_told_which_one_to_use(caller):
    status, headers, _ = await caller.post(method="GET")
    assert (status, headers[b"allow"]) == (405, b"POST")


async def test_a_body_in_pieces_is_put_together(caller):
    status, _, _ = await caller.post(BODY[:10], BODY[10:20], BODY[20:])
    assert status == 200


async def test_a_body_in_pieces_is_refused_as_soon_as_it_is_too_large(caller):
    status, _, _ = await caller.post(*[b" " * 9_000] * 100)
    assert status == 413


async def test_a_body_of_just_the_limit_is_read(either):
    status, _, _ = await either.post(BODY.ljust(16 * 1_024))
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
