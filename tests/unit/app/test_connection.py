"""One connection of a caller: what takes the short way, and that nobody can tell which was taken."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.api.auth import Scope, add_key, load_keys
from app.api.hot import Front, LoopLag
from app.connection import HEADER_BYTES_MAX, Connection
from app.telemetry import Telemetry
from fallback.clock import ManualClock
from tests.unit.app.api.setting import BODY, FakeDecider

KEEP_ALIVE_S = 5
LIMIT = 16 * 1_024


class Loop:
    """What a connection needs of a loop, on a clock that is moved by hand; counts tasks."""

    def __init__(self):
        self.now_s = 100.0
        self.tasks = 0
        self.timers = []

    def time(self):
        return self.now_s

    def create_task(self, coroutine):
        self.tasks += 1
        return asyncio.get_running_loop().create_task(coroutine)

    def call_later(self, delay_s, callback):
        timer = Timer(self.now_s + delay_s, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        """Let time pass, and call what it is time for."""
        until_s = self.now_s + seconds
        while due := [timer for timer in self.pending if timer.at_s <= until_s]:
            first = min(due, key=lambda timer: timer.at_s)
            self.now_s, first.done = first.at_s, True
            first.callback()
        self.now_s = until_s

    @property
    def pending(self):
        return [timer for timer in self.timers if not timer.done]


class Timer:
    def __init__(self, at_s, callback):
        self.at_s, self.callback, self.done = at_s, callback, False

    def cancel(self):
        self.done = True


class Transport:
    """A transport that keeps what is written."""

    def __init__(self):
        self.writes = []
        self.closed = False
        self.reading = True

    def get_extra_info(self, name, default=None):
        addresses = {"peername": ("127.0.0.1", 5_000), "sockname": ("127.0.0.1", 8_000)}
        return addresses.get(name, default)

    def write(self, data):
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Server:
    """A front, and connections to it."""

    def __init__(self, folder):
        self.decider = FakeDecider()
        self.telemetry = Telemetry()
        self.key = add_key(folder / "keys.json", tenant="acme", scopes=[Scope.DECIDE])
        keys = load_keys(folder / "keys.json")
        self.front = Front(
            self.serve_behind,
            decider=lambda: self.decider,
            keys=lambda: keys,
            telemetry=self.telemetry,
            clock=ManualClock(),
            lag=LoopLag(ManualClock(), told=lambda _ms: None),
            gather_ms=1.0,
            deadline_ms=80,
            body_wait_s=5.0,
        )
        self.state = ServerState()
        self.behind = []

    async def serve_behind(self, scope, receive, send):
        self.behind.append(scope["path"])
        length = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 404, "headers": length})
        await send({"type": "http.response.body", "body": b"behind"})

    def call(self, *, protocol=Connection, app=None):
        """Somebody calls."""
        return Line(self, protocol, app or self.front)

    def request(self, body=BODY, *, method=b"POST", path=b"/v1/decisions", version=b"1.1", **more):
        """The bytes of a request; a header that is None is left out."""
        headers = {
            "host": "x",
            "x-api-key": self.key,
            "content-type": "application/json",
            "content-length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value is not None]
        head = method + b" " + path + b" HTTP/" + version + b"\r\n"
        return head + "".join(lines).encode() + b"\r\n" + body


class Line:
    """A caller's end of a connection."""

    def __init__(self, server, protocol, app):
        config = Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self.loop = Loop()
        self.transport = Transport()
        self.protocol = protocol(config, server.state, {}, self.loop)
        self.protocol.connection_made(self.transport)

    async def send(self, *pieces):
        """Send, and let the server work until it waits for something."""
        for piece in pieces:
            if not self.transport.closed:
                self.protocol.data_received(piece)
            await quiet()

    async def hang_up(self, error=None):
        self.transport.closed = True
        self.protocol.connection_lost(error)
        await quiet()

    @property
    def raw(self):
        return b"".join(self.transport.writes)

    @property
    def answers(self):
        """What came back: status, headers, body."""
        found, rest = [], self.raw
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            length = int(headers.get("content-length", 0))
            body, rest = rest[:length], rest[length:]
            found.append((int(first.split()[1]), headers, body))
        return found

    @property
    def statuses(self):
        return [status for status, _, _ in self.answers]

    @property
    def ids(self):
        """The attempts that were answered, in order."""
        return [json.loads(body)["attempt_id"] for _, _, body in self.answers]


async def quiet():
    """Let everything happen that waits for nothing but the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


def attempt(id):
    return BODY.replace(b'"a1"', b'"%b"' % id.encode())


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


@pytest.fixture
def line(server):
    return server.call()


@pytest.fixture(params=["short", "long"])
def way(request):
    """Sends a request the short way, in one piece, or the long one, with its body in two."""

    async def send(line, data):
        before = line.loop.tasks
        pieces = [data] if request.param == "short" else [data[:-5], data[-5:]]
        await line.send(*pieces)
        assert line.loop.tasks - before == (request.param == "long")

    return send


async def test_a_request_in_one_piece_takes_the_short_way_with_no_task_and_one_write(server, line):
    await line.send(server.request())
    assert (line.statuses, line.ids) == ([200], ["a1"])
    assert (line.loop.tasks, len(line.transport.writes)) == (0, 1)
    assert not line.transport.closed


@pytest.mark.parametrize("cut", [1, 10, 40])
async def test_a_body_in_pieces_takes_the_long_way_to_the_same_answer(server, line, cut):
    await line.send(server.request())
    other, request = server.call(), server.request()
    await other.send(request[:-cut], request[-cut:])
    assert other.raw == line.raw
    assert (line.loop.tasks, other.loop.tasks) == (0, 1)


async def test_a_body_that_comes_after_its_headers_takes_the_long_way(server, line):
    head, _, body = server.request().partition(b"\r\n\r\n")
    await line.send(head + b"\r\n\r\n", body)
    assert (line.ids, line.loop.tasks) == (["a1"], 1)


async def test_headers_in_pieces_do_not_matter_where_the_body_came_with_the_last(server, line):
    request = server.request()
    await line.send(request[:3], request[3:30], request[30:70], request[70:])
    assert (line.ids, line.loop.tasks) == (["a1"], 0)


async def test_a_connection_is_used_again_whichever_way_was_taken(server, line):
    short, long = server.request(attempt("s")), server.request(attempt("l"))
    await line.send(short, short, long[:-5], long[-5:], short, long[:-5], long[-5:])
    assert line.ids == ["s", "s", "l", "s", "l"]
    assert line.loop.tasks == 2
    assert server.state.total_requests == 5


async def test_a_refusal_is_the_same_on_either_way(server, way):
    lines = [server.call() for _ in range(2)]
    for headers in ({"x_api_key": "sk_wrong"}, {"x_deadline_ms": "1"}, {"content_type": None}):
        request = server.request(**headers)
        await way(lines[0], request)
        await lines[1].send(request)
    assert lines[0].statuses == [401, 400, 415]
    assert lines[0].raw == lines[1].raw


async def test_requests_that_are_sent_on_without_waiting_are_answered_in_order(server, line):
    await line.send(b"".join(server.request(attempt(id)) for id in ("a", "b", "c")))
    assert line.ids == ["a", "b", "c"]
    assert server.decider.batches == [["a"], ["b"], ["c"]]


async def test_those_behind_one_that_is_being_decided_wait_for_its_answer(server, line):
    server.decider.hold()
    await line.send(server.request(attempt("a")))
    await line.send(server.request(attempt("b")), server.request(method=b"GET"))
    assert line.answers == []
    assert server.decider.batches == [["a"]]
    assert not line.transport.reading
    server.decider.let()
    await quiet()
    assert line.statuses == [200, 200, 405]
    assert line.transport.reading


async def test_one_behind_a_refusal_is_answered_after_it_and_may_be_incomplete(server, line):
    request = server.request()
    await line.send(server.request(x_api_key=None) + request[:-5])
    assert line.statuses == [401]
    await line.send(request[-5:])
    assert line.statuses == [401, 200]


@pytest.mark.parametrize(
    ("said", "closes"),
    [
        ({}, False),
        ({"connection": "keep-alive"}, False),
        ({"connection": "close"}, True),
        ({"connection": "Close"}, True),
        ({"version": b"1.0"}, True),
        ({"version": b"1.0", "connection": "keep-alive"}, True),
    ],
)
async def test_a_connection_closes_after_the_answer_where_the_request_says_so(
    server, line, way, said, closes
):
    await way(line, server.request(**said))
    ((status, named, _),) = line.answers
    assert (status, line.transport.closed) == (200, closes)
    assert named.get("connection") == ("close" if closes else None)


async def test_a_worker_that_is_replaced_closes_with_its_next_answer(server, line, way):
    await way(line, server.request())
    server.state.default_headers = [(b"date", b"today"), (b"connection", b"close")]
    await way(line, server.request())
    (_, first, _), (_, second, _) = line.answers
    assert (first.get("connection"), second["connection"], second["date"]) == (
        None,
        "close",
        "today",
    )
    assert line.raw.count(b"connection: close") == 1
    assert line.transport.closed


async def test_a_server_that_ends_closes_idle_connections_and_others_with_their_answer(server, way):
    idle, busy = server.call(), server.call()
    await way(idle, server.request())
    server.decider.hold()
    await way(busy, server.request())
    for line in (idle, busy):
        line.protocol.shutdown()
    assert (idle.transport.closed, busy.transport.closed) == (True, False)
    server.decider.let()
    await quiet()
    assert busy.statuses == [200]
    assert busy.answers[0][1]["connection"] == "close"
    assert busy.transport.closed


async def test_a_caller_who_waits_for_leave_to_send_his_body_gets_it(server, line):
    head, _, body = server.request(expect="100-continue").partition(b"\r\n\r\n")
    await line.send(head + b"\r\n\r\n")
    assert line.statuses == [100]
    await line.send(body)
    assert line.statuses == [100, 200]


async def test_a_caller_who_asks_for_leave_and_does_not_wait_is_answered(server, line):
    await line.send(server.request(expect="100-continue"))
    assert line.statuses[-1] == 200


async def test_a_body_in_chunks_is_read(server, line):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(at), at) for at in (BODY[:20], BODY[20:]))
    head = server.request(b"", content_length=None, transfer_encoding="chunked")
    await line.send(head + chunks + b"0\r\n\r\n")
    assert line.ids == ["a1"]


async def test_an_upgrade_that_is_not_known_is_answered_as_uvicorn_would(server, line):
    request = server.request(connection="upgrade", upgrade="h2c")
    theirs = server.call(protocol=HttpToolsProtocol)
    for one in (line, theirs):
        await one.send(request)
    assert line.raw == theirs.raw
    assert line.loop.tasks == 1


async def test_a_body_of_just_the_limit_takes_the_short_way(server, line):
    await line.send(server.request(BODY.ljust(LIMIT)))
    assert (line.ids, line.loop.tasks) == (["a1"], 0)


@pytest.mark.parametrize("length", [LIMIT + 1, 10 * LIMIT])
async def test_a_body_over_the_limit_is_refused(server, line, length):
    await line.send(server.request(BODY.ljust(length)))
    ((status, headers, problem),) = line.answers
    assert status == json.loads(problem)["status"] == 413
    assert headers["content-type"] == "application/problem+json"
    assert not server.decider.asked_for


async def test_a_chunked_body_over_the_limit_is_refused(server, line):
    head = server.request(b"", content_length=None, transfer_encoding="chunked")
    await line.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (LIMIT + 1, b" " * (LIMIT + 1)))
    assert line.statuses == [413]


@pytest.mark.parametrize("pieces", [1, 3])
async def test_headers_over_the_limit_are_refused_and_the_caller_hung_up_on(server, line, pieces):
    request = server.request(x_large="a" * HEADER_BYTES_MAX)
    size = len(request) // pieces + 1
    await line.send(*(request[at : at + size] for at in range(0, len(request), size)))
    ((status, headers, problem),) = line.answers
    assert status == json.loads(problem)["status"] == 400
    assert headers["connection"] == "close"
    assert line.transport.closed
    assert not server.decider.asked_for


async def test_headers_below_the_limit_are_each_request_s_own(server, line):
    request = server.request(x_large="a" * (HEADER_BYTES_MAX * 2 // 3))
    await line.send(request, request)
    assert line.statuses == [200, 200]


async def test_what_is_not_http_is_refused_and_the_caller_hung_up_on(server, line):
    await line.send(server.request(), b"this is not http\r\n\r\n")
    assert line.statuses == [200, 400]
    assert line.transport.closed


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE"])
async def test_another_method_is_told_which_one_to_use(server, line, method):
    await line.send(server.request(method=method))
    ((status, headers, _),) = line.answers
    assert (status, headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", [b"/livez", b"/v1/decisions/", b"/v1/decisionsX", b"/v1"])
async def test_another_path_goes_to_the_app_behind(server, line, path):
    await line.send(server.request(path=path))
    assert server.behind == [path.decode()]
    assert not server.decider.asked_for


@pytest.mark.parametrize(
    "path", [b"/v1/decisions?x=1", b"/v1/%64ecisions", b"http://x/v1/decisions"]
)
async def test_the_path_in_other_words_is_the_same_path(server, line, path):
    await line.send(server.request(path=path))
    assert (line.ids, line.loop.tasks) == (["a1"], 1)


async def test_an_app_that_is_not_the_front_is_asked_as_any_other(server):
    async def app(scope, receive, send):
        await server.serve_behind(scope, receive, send)

    line = server.call(app=app)
    await line.send(server.request())
    assert (server.behind, line.loop.tasks) == (["/v1/decisions"], 1)


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_caller_who_hangs_up_before_the_answer_gets_none_and_nothing_is_raised(
    server, line, way, error, caplog
):
    server.decider.hold()
    await way(line, server.request())
    await line.hang_up(error)
    server.decider.let()
    await quiet()
    assert (line.answers, caplog.records) == ([], [])
    assert line.protocol not in server.state.connections


async def test_a_caller_who_hangs_up_with_others_behind_gets_nothing_of_them(server, line, caplog):
    server.decider.hold()
    await line.send(server.request(attempt("a")) + server.request(attempt("b")))
    await line.hang_up()
    server.decider.let()
    await quiet()
    assert (line.answers, caplog.records) == ([], [])
    assert server.decider.batches == [["a"]]


async def test_a_caller_who_hangs_up_within_his_body_is_counted(server, line):
    await line.send(server.request()[:-5])
    await line.hang_up()
    assert server.telemetry.counters == {"requests_refused\x00499": 1}


async def test_an_idle_connection_is_closed_after_the_time_out(server, line, way):
    await way(line, server.request())
    line.loop.advance(KEEP_ALIVE_S - 0.1)
    assert not line.transport.closed
    line.loop.advance(0.2)
    assert line.transport.closed


async def test_a_busy_connection_is_not_closed_however_long_its_answer_takes(server, line, way):
    await way(line, server.request())
    server.decider.hold()
    await way(line, server.request())
    line.loop.advance(10 * KEEP_ALIVE_S)
    assert not line.transport.closed
    server.decider.let()
    await quiet()
    assert line.statuses == [200, 200]
    line.loop.advance(KEEP_ALIVE_S - 0.1)
    assert not line.transport.closed
    line.loop.advance(KEEP_ALIVE_S + 0.2)
    assert line.transport.closed


async def test_each_request_begins_the_time_out_anew_and_a_connection_has_one_timer(
    server, line, way
):
    for _ in range(10):
        await way(line, server.request())
        line.loop.advance(KEEP_ALIVE_S * 0.7)
        assert len(line.loop.pending) == 1
    assert not line.transport.closed
    line.loop.advance(KEEP_ALIVE_S * 0.3 + 0.1)
    assert line.transport.closed


async def test_many_requests_in_a_row_make_one_timer(server, line):
    await line.send(*[server.request()] * 50)
    assert len(line.loop.timers) == 1


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_connection_that_is_gone_has_no_timer(server, line, error):
    await line.send(server.request())
    await line.hang_up(error)
    assert line.loop.pending == []


async def test_a_caller_who_does_not_read_what_he_is_sent_is_answered_when_he_does(server, line):
    line.protocol.pause_writing()
    await line.send(server.request())
    assert (line.answers, line.loop.tasks) == ([], 1)
    line.protocol.resume_writing()
    await quiet()
    assert line.ids == ["a1"]


@pytest.mark.parametrize("seed", range(40))
async def test_however_requests_are_cut_up_they_are_answered_as_uvicorn_would(server, seed):
    rng = random.Random(seed)
    kinds = [
        lambda: server.request(attempt(f"a{rng.randrange(1_000)}")),
        lambda: server.request(BODY.ljust(rng.choice([500, LIMIT, LIMIT + 1]))),
        lambda: server.request(x_api_key=None),
        lambda: server.request(b"{"),
        lambda: server.request(b"", content_length=None),
        lambda: server.request(method=b"GET", path=b"/livez"),
        lambda: server.request(path=b"/v1/decisions?x"),
        lambda: server.request(
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
            content_length=None,
            transfer_encoding="chunked",
        ),
    ]
    stream = b"".join(rng.choice(kinds)() for _ in range(rng.randrange(1, 8)))
    if rng.random() < 0.5:
        stream += server.request(connection="close")
    cuts = sorted(rng.sample(range(1, len(stream)), k=min(rng.randrange(6), len(stream) - 1)))
    pieces = [stream[one:other] for one, other in zip([0, *cuts], [*cuts, None], strict=True)]
    ours, theirs = server.call(), server.call(protocol=HttpToolsProtocol)
    for one in (ours, theirs):
        await one.send(*pieces)
    assert ours.raw == theirs.raw
    assert ours.transport.closed == theirs.transport.closed
    assert ours.answers
