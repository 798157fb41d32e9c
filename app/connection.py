"""uvicorn's connection, with a bound on headers, and a short way for what is there as a whole.

httptools takes headers of any size, and a request that is not even authenticated yet must not
hold the loop for half a second.

A request for a decision that came in one piece needs no ASGI: no scope, no task, no messages. It
goes to the front (`app.api.hot.Front.take`) as headers and body, and its answer is one write.
Everything else takes uvicorn's own way: other paths, bodies in pieces or over the limit, pipelined
requests, `Expect`, a caller who does not read what he is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.hot import Answer, Front
from app.api.problem import PROBLEM_JSON, Malformed
from app.api.request import BODY_BYTES_MAX

__all__ = ["Connection"]

HEADER_BYTES_MAX = 16 * 1024
# Headers that ask for more than an answer to what is there.
_MORE = frozenset((b"expect", b"transfer-encoding", b"upgrade"))
_CLOSE = b"connection: close\r\n"


class _Nobody:
    """Who waits for messages of a request that has none."""

    def set(self) -> None:
        """Tell nobody."""


class _Taken:
    """A request that the front has; in the place of uvicorn's own cycle.

    Attributes:
        disconnected: whether the caller has hung up.
        keep_alive: whether the connection goes on after the answer.
        response_complete: whether it is answered.
    """

    __slots__ = ("_connection", "disconnected", "keep_alive", "response_complete")

    message_event = _Nobody()

    def __init__(self, connection: Connection, *, keep_alive: bool) -> None:
        self._connection = connection
        self.disconnected = False
        self.keep_alive = keep_alive
        self.response_complete = False

    def respond(self, answer: Answer) -> None:
        """Answer, in one write."""
        self.response_complete = True
        if not self.disconnected:
            self._connection.answer(answer, keep_alive=self.keep_alive)


class _Always(NamedTuple):
    """Headers that go with every answer.

    Attributes:
        headers: that they are.
        lines: as sent.
        close: whether they end the connection.
    """

    headers: Sequence[tuple[bytes, bytes]]
    lines: bytes
    close: bool


class Connection(HttpToolsProtocol):
    """One connection of a caller."""

    _always: ClassVar[_Always] = _Always((), b"", close=False)
    _front: Front | None = None
    _header_bytes = 0
    _more = False  # the request asks for more than an answer to what is there
    _short = False  # the request is on the short way, until its end has come
    _body = b""
    _idle = False
    _idle_since_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.config.app
        self._front = app if isinstance(app, Front) else None
        self.cycle: Any = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._idle = False
        super().data_received(data)
        if self._short and not self.transport.is_closing():  # its end has not come
            self._take_the_long_way()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._header_bytes = 0
        self._more = False
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._header_bytes += len(url)
        if self._header_bytes > HEADER_BYTES_MAX:
            raise ValueError("headers too large")
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX:
            raise ValueError("headers too large")
        name = name.lower()
        if name in _MORE:
            self._more = True
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """All headers are there."""
        if (
            self._front is not None
            and self.url == self._front.path
            and not self._more
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
        ):
            self._short, self._body = True, b""
            return
        self._make_scope()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._short:
            super().on_body(body)
            return
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:  # which that way refuses
            self._take_the_long_way()

    def on_message_complete(self) -> None:
        """The request is there."""
        if not self._short:
            super().on_message_complete()
            return
        self._short = False
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        taken = self.cycle = _Taken(self, keep_alive=keep_alive)
        assert self._front is not None
        self._front.take(self.headers, self._body, taken)

    def answer(self, answer: Answer, *, keep_alive: bool) -> None:
        """Write an answer to the request that the front has."""
        if self.transport.is_closing():
            return
        always = self._sent_always()
        content = [STATUS_LINE[answer.status], always.lines]
        for name, value in answer.headers:
            content += (name, b": ", value, b"\r\n")
            if name == b"connection" and value == b"close":
                keep_alive = False
        if always.close:
            keep_alive = False
        elif not keep_alive:
            content.append(_CLOSE)
        content += (b"\r\n", answer.body)
        self.transport.write(b"".join(content))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read as a request, and hang up."""
        body = Malformed(f"{msg.rstrip('.')}.").body("")
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {PROBLEM_JSON}\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def on_response_complete(self) -> None:
        """As uvicorn does, but with one timer a connection and not one a request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle, self._idle_since_s = True, self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_in(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Hang up on a caller who has kept the connection idle for too long."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        left_s = float(self.timeout_keep_alive)
        if self._idle:
            left_s += self._idle_since_s - self.loop.time()
        if left_s > 0:
            self._look_again_in(left_s)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _unset_keepalive_if_required(self) -> None:
        """Keep the timer: it looks by itself whether anything came."""

    def _look_again_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _sent_always(self) -> _Always:
        """What the server says with every answer; a new list of headers each second."""
        headers, known = self.server_state.default_headers, Connection._always
        if known.headers is not headers:
            lines = b"".join([b"%b: %b\r\n" % header for header in headers])
            known = _Always(headers, lines, (b"connection", b"close") in headers)
            Connection._always = known
        return known

    def _take_the_long_way(self) -> None:
        """Hand a request that was on the short way, and what is there of its body, to uvicorn."""
        self._short = False
        self._make_scope()
        super().on_headers_complete()
        if self._body:
            super().on_body(self._body)

    def _make_scope(self) -> None:
        """What uvicorn makes of each request before its headers are in."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the scope has this very list
