"""A front, connections to it that are no sockets, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import json

from uvicorn.config import Config
from uvicorn.server import ServerState

from app.api.auth import Scope, add_key, load_keys
from app.api.hot import Front, LoopLag
from app.connection import Connection
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
    for _ in range(100):
        await asyncio.sleep(0)


def attempt(id):
    return BODY.replace(b'"a1"', b'"%b"' % id.encode())
