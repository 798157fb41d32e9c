"""One shard's server, as the decision path talks to it: one connection, shared by all requests.

Commands of the same loop turn leave in one write: the counters of every waiting attempt and the
claims on their attempt ids are one round trip. Replies come in the order of the commands, so a
reply needs no id, and a server that is slow is not made slower by new connections. Nothing
is made for a command but its bytes and a future.

A command fails with the ladder's errors and never later than its time-out. What is answered after
that is thrown away; a server that has been silent for `SILENT_TIMEOUTS` of them is hung up on, and
called again by the next command.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, cast

import hiredis

from app.settings import Shard
from fallback.errors import (
    BulkheadFull,
    DependencyCorrupt,
    DependencyRefusal,
    DependencyTimeout,
    DependencyUnavailable,
    RungError,
)

__all__ = ["Command", "Packed", "ShardClient", "packed"]

# Commands without a reply yet: far above what a healthy server leaves, a few MB at most.
PENDING_MAX = 16_384
SILENT_TIMEOUTS = 4

Command = tuple[Any, ...]
Packed = bytes
"""A command as it is sent, by `packed`: made once for several servers."""


class _Reply(Protocol):
    """What a command's reply is handed to: a future, or `_Together`."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...


class _Together:
    """Replies that are waited for together, in the order of their commands; one error is of all."""

    __slots__ = ("_left", "_values", "future")

    def __init__(self, commands: int) -> None:
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._left = commands
        self._values: list[Any] = []

    def done(self) -> bool:
        return self.future.done()

    def set_result(self, result: Any, /) -> None:
        self._values.append(result)
        self._left -= 1
        if not self._left:
            self.future.set_result(self._values)

    def set_exception(self, error: BaseException, /) -> None:
        self.future.set_exception(error)


class ShardClient:
    """Sends commands to one server. For one event loop."""

    def __init__(
        self, shard: Shard, *, password: str | None, timeout_ms: float, region: str
    ) -> None:
        """Make a client; it connects with the first command.

        Args:
            shard: address of the server.
            password: of the server; None for none.
            timeout_ms: longest wait for a reply, and for a connection.
            region: whose server it is, for errors.
        """
        self._shard = shard
        self._region = region
        self._timeout_s = timeout_ms / 1_000
        self._greeting: list[Command] = [("CLIENT", "SETNAME", "stepdown-scorer")]
        if password is not None:
            self._greeting.insert(0, ("AUTH", password))
        self._tls = ssl.create_default_context() if shard.tls else None
        self._waiting: list[tuple[bytes, _Reply]] = []
        self._leaving = False  # what waits leaves at the end of this turn
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None

    def submit(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command with the others of this turn; await the future for its reply.

        The future fails with a `fallback.errors.RungError`.
        """
        return self.submit_packed(packed(command))

    def submit_packed(self, command: Packed) -> asyncio.Future[Any]:
        """As `submit`, a command that is packed already."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._leave_soon()
        self._waiting.append((command, reply))
        return reply

    def submit_all(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """The same for several, at least one: a future of all their replies, or of one's error."""
        together = _Together(len(commands))
        self._leave_soon()
        self._waiting.extend([(packed(command), together) for command in commands])
        return together.future

    async def close(self) -> None:
        """Hang up."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.hang_up()

    def flush(self) -> None:
        """Send what waits at once, and not at the end of this turn."""
        self._leaving = False
        if not self._waiting:
            return
        if self._connection is not None and self._connection.open:
            waiting, self._waiting = self._waiting, []
            self._connection.send(waiting)
        elif self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())

    def _leave_soon(self) -> None:
        if not self._leaving:
            self._leaving = True
            asyncio.get_running_loop().call_soon(self.flush)

    async def _connect(self) -> None:
        """Connect and send what waits, or fail it all."""
        error: RungError
        try:
            async with asyncio.timeout(self._timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._region, self._timeout_s),
                    self._shard.host,
                    self._shard.port,
                    ssl=self._tls,
                )
        except TimeoutError:
            error = DependencyTimeout("no connection in time", dependency=self._region)
        except OSError as refused:
            error = DependencyUnavailable(str(refused), dependency=self._region)
        else:
            self._connection = connection
            greeting = [self._greeted(command, connection) for command in self._greeting]
            waiting, self._waiting = self._waiting, []
            connection.send([*greeting, *waiting])
            return
        finally:
            self._connecting = None
        waiting, self._waiting = self._waiting, []
        for _, reply in waiting:
            _fail(reply, error)

    @staticmethod
    def _greeted(command: Command, connection: _Connection) -> tuple[bytes, _Reply]:
        """A command nobody waits for: where it is refused, so are all that follow.

        Such a connection is hung up: a password that is right again would never be asked for.
        """

        def answered(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and isinstance(done.exception(), DependencyRefusal):
                connection.hang_up()

        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(answered)
        return packed(command), reply


class _Connection(asyncio.Protocol):
    """A connection, and the commands on it that have no reply yet."""

    def __init__(self, region: str, timeout_s: float) -> None:
        self.open = False
        self._region = region
        self._timeout_s = timeout_s
        self._pending: deque[_Reply] = deque()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._heard_s = 0.0

    def send(self, commands: list[tuple[bytes, _Reply]]) -> None:
        """Send commands; their futures are done within the time-out."""
        assert self._transport is not None
        if len(self._pending) + len(commands) > PENDING_MAX:
            full = BulkheadFull("too many commands have no reply", dependency=self._region)
            for _, reply in commands:
                _fail(reply, full)
            return
        loop = asyncio.get_running_loop()
        if not self._pending:
            self._heard_s = loop.time()
        replies = [reply for _, reply in commands]
        self._pending.extend(replies)
        self._transport.write(b"".join([packed for packed, _ in commands]))
        loop.call_later(self._timeout_s, self._expire, replies)

    def hang_up(self) -> None:
        """Close at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.open = False
        lost = DependencyUnavailable(f"the connection was lost: {exc}", dependency=self._region)
        self._fail_all(lost)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard_s = asyncio.get_running_loop().time()
        try:
            self._reader.feed(data)
            while (value := self._reader.gets()) is not False:
                self._settle(value)
        except (hiredis.ProtocolError, IndexError) as error:
            # What follows cannot be told apart any more.
            self._fail_all(DependencyCorrupt(str(error), dependency=self._region))
            self.hang_up()

    def _settle(self, value: Any) -> None:
        reply = self._pending.popleft()
        if reply.done():  # too late, or nobody waits any more
            return
        if isinstance(value, hiredis.ReplyError):
            reply.set_exception(DependencyRefusal(str(value), dependency=self._region))
        else:
            reply.set_result(value)

    def _expire(self, replies: list[_Reply]) -> None:
        """Time is up for what was sent together."""
        if all(reply.done() for reply in replies):
            return
        late = DependencyTimeout(
            f"no reply within {self._timeout_s * 1_000:.0f} ms", dependency=self._region
        )
        for reply in replies:
            _fail(reply, late)
        silent_s = asyncio.get_running_loop().time() - self._heard_s
        if silent_s >= SILENT_TIMEOUTS * self._timeout_s:
            self.hang_up()

    def _fail_all(self, error: RungError) -> None:
        pending, self._pending = self._pending, deque()
        for reply in pending:
            _fail(reply, error)


def packed(command: Command) -> Packed:
    """A command as it is sent."""
    return cast("bytes", hiredis.pack_command(command))


def _fail(reply: _Reply, error: RungError) -> None:
    if not reply.done():
        reply.set_exception(error)
