"""A load generator that is no bottleneck: raw sockets, one process, one thread.

Open loop: every request has its time of sending, drawn beforehand, and latency counts from that
time, whatever came before (no coordinated omission). A generator that falls behind measures
itself: its lag is kept, and a run whose lag is above `LAG_MS_MAX` at the highest quantile that
is reported, 99.9 %, is void. Closed loop: so many
connections, each sending again as soon as it was answered, to find what the server can do.

Reads a `Job` as JSON from standard input and writes a `Sent` to standard output:
`python -m chaos.bench.generator < job.json`.
"""

from __future__ import annotations

import errno
import gc
import itertools
import os
import random
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

__all__ = ["LAG_MS_MAX", "NO_ANSWER", "PATIENCE_S", "Job", "Phase", "Sent"]

LAG_MS_MAX = 5.0
# A server that falls behind is asked over more and more connections; beyond these it is waited for.
CONNECTIONS_MAX = 4_000
# Longest wait for an answer. Then a caller hangs up, as callers do, and asks elsewhere.
PATIENCE_S = 1.0
NO_ANSWER = "no answer"
PLACEHOLDER = b"@attempt-id-of-fixed-len@"
_ANSWERS, _MADE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a run.

    Attributes:
        seconds: how long.
        rate: requests a second at random times; 0 for closed loop.
    """

    seconds: float
    rate: float = 0.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send.

    Attributes:
        host: of the server.
        port: of the server.
        requests: whole HTTP requests, sent in turn; `PLACEHOLDER` in one becomes a fresh id.
        phases: one after the other.
        connections: of a closed loop; an open one takes as many as it needs.
        seed: of the times and ids.
    """

    host: str
    port: int
    requests: list[bytes]
    phases: list[Phase]
    connections: int = 32
    seed: int = 7


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, by request in order of sending.

    Attributes:
        due_s: when it should have been sent, seconds from the start.
        latency_ms: from then until the answer was there.
        rung: number in `rungs`, -1 for an answer that names none.
        rungs: names.
        failures: requests by what went wrong with them.
        given_up_s: when those should have been sent that were not answered in `PATIENCE_S`, which
            are among the failures.
        lag_ms: most that a request waited for the generator itself.
        lag_p999_ms: 99.9th percentile of the same.
    """

    due_s: list[float]
    latency_ms: list[float]
    rung: list[int]
    rungs: list[str]
    failures: dict[str, int]
    given_up_s: list[float] = []
    lag_ms: float
    lag_p999_ms: float


class _Connection:
    """A connection, made or not yet, and the request that is on it.

    Attributes:
        buffer: what is there of the answer.
        due_s: when the request should have been sent.
        unsent: the request, while the connection is not made.
    """

    __slots__ = ("buffer", "due_s", "sock", "unsent")

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.sock.connect_ex(address)
        if error not in {0, errno.EINPROGRESS}:
            self.sock.close()
            raise OSError(error, os.strerror(error))
        self.buffer = self.unsent = b""
        self.due_s = 0.0

    def fileno(self) -> int:
        return self.sock.fileno()


class _Generator:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._address = (job.host, job.port)
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._busy: dict[_Connection, None] = {}  # the one that waits longest first
        self._requests = itertools.cycle([_split(request) for request in job.requests])
        self._run = f"{random.Random(time.time_ns()).getrandbits(48):012x}"
        self._number = 0
        self._due_s: list[float] = []
        self._latency_ms: list[float] = []
        self._rung: list[int] = []
        self._rungs: dict[bytes, int] = {}
        self._failures: dict[str, int] = {}
        self._given_up_s: list[float] = []
        self._lag_ms: list[float] = []

    def run(self) -> Sent:
        """Send all phases."""
        gc.disable()
        rng = random.Random(self._job.seed)
        start_s = now_s = time.perf_counter()
        for phase in self._job.phases:
            until_s = now_s + phase.seconds
            if phase.rate:
                self._open(_times(rng, phase.rate, now_s, until_s))
            else:
                self._closed(until_s)
            now_s = until_s if phase.rate else time.perf_counter()
        while self._busy:
            self._collect(0.05)
            self._lose_patience()
        lags = sorted(self._lag_ms) or [0.0]
        return Sent(
            due_s=[round(due_s - start_s, 6) for due_s in self._due_s],
            latency_ms=[round(one, 4) for one in self._latency_ms],
            rung=self._rung,
            rungs=[name.decode() for name in self._rungs],
            failures=self._failures,
            given_up_s=[round(due_s - start_s, 6) for due_s in self._given_up_s],
            lag_ms=round(lags[-1], 3),
            lag_p999_ms=round(lags[int(0.999 * (len(lags) - 1))], 3),
        )

    def _open(self, times: Iterator[float]) -> None:
        for due_s in times:
            while (wait_s := due_s - time.perf_counter()) > 0:
                self._collect(wait_s)
            if not self._idle:
                self._collect(0.0)
            self._lose_patience()
            while not self._idle and len(self._busy) >= CONNECTIONS_MAX:
                self._collect(0.01)
                self._lose_patience()
            connection = self._idle.pop() if self._idle else self._connected()
            if connection is not None:
                # Waiting for one of many connections is the server's doing, not ours.
                if len(self._busy) < CONNECTIONS_MAX - 1:
                    self._lag_ms.append((time.perf_counter() - due_s) * 1_000)
                self._send(connection, due_s)

    def _closed(self, until_s: float) -> None:
        while len(self._idle) + len(self._busy) < self._job.connections:
            connection = self._connected()
            if connection is None:
                break
            self._idle.append(connection)
        while (now_s := time.perf_counter()) < until_s:
            while self._idle:
                self._send(self._idle.pop(), now_s)
            self._collect(0.05)

    def _connected(self) -> _Connection | None:
        try:
            connection = _Connection(self._address)
        except OSError as error:
            self._failed(type(error).__name__)
            return None
        self._epoll.register(connection.sock, _ANSWERS)
        self._connections[connection.fileno()] = connection
        return connection

    def _send(self, connection: _Connection, due_s: float) -> None:
        before, after = next(self._requests)
        self._number += 1
        fresh = f"bench-{self._run}{self._number:07x}".translate(_LETTERS).encode()
        connection.due_s = due_s
        connection.unsent = before + fresh + after if after else before
        self._busy[connection] = None
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        """Send a request as soon as there is a connection; it fits into the socket as a whole."""
        try:
            connection.sock.send(connection.unsent)
        except BlockingIOError:
            self._epoll.modify(connection.sock, _MADE)
        except OSError as error:
            self._lost(connection, type(error).__name__)
        else:
            connection.unsent = b""

    def _lose_patience(self) -> None:
        """Hang up on those who have had their time; a look at the first one, mostly."""
        until_s = time.perf_counter() - PATIENCE_S
        while (oldest := next(iter(self._busy), None)) is not None and oldest.due_s < until_s:
            self._given_up_s.append(oldest.due_s)
            self._lost(oldest, NO_ANSWER)

    def _collect(self, wait_s: float) -> None:
        if not self._busy:
            time.sleep(min(wait_s, 0.001))
            return
        # An epoll takes whole milliseconds to wait; a select of the epoll does not, and costs the
        # same for one connection as for thousands.
        if wait_s > 0 and not select.select((self._epoll,), (), (), wait_s)[0]:
            return
        for number, _ in self._epoll.poll(0):
            connection = self._connections.get(number)  # None: given up in this very turn
            if connection is not None and connection.unsent:
                self._epoll.modify(connection.sock, _ANSWERS)
                self._write(connection)
            elif connection is not None:
                self._read(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(connection, "hung up")
            return
        connection.buffer += data
        head, found, body = connection.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        now_s = time.perf_counter()
        del self._busy[connection]
        self._idle.append(connection)
        connection.buffer = b""
        if not head.startswith(b"HTTP/1.1 200"):
            self._failed(head[9:12].decode())
            return
        self._due_s.append(connection.due_s)
        self._latency_ms.append((now_s - connection.due_s) * 1_000)
        self._rung.append(self._rung_of(body))

    def _lost(self, connection: _Connection, why: str) -> None:
        """Go on without a connection; a request that was on it has failed."""
        if connection in self._busy:
            del self._busy[connection]
            self._failed(why)
        else:
            self._idle.remove(connection)
        del self._connections[connection.fileno()]
        connection.sock.close()

    def _rung_of(self, body: bytes) -> int:
        at = body.find(b'"rung":"')
        if at < 0:
            return -1
        name = body[at + 8 : body.index(b'"', at + 8)]
        return self._rungs.setdefault(name, len(self._rungs))

    def _failed(self, why: str) -> None:
        self._failures[why] = self._failures.get(why, 0) + 1


def _times(rng: random.Random, rate: float, from_s: float, until_s: float) -> Iterator[float]:
    """Instants of a Poisson process."""
    now_s = from_s
    while (now_s := now_s + rng.expovariate(rate)) < until_s:
        yield now_s


def _split(request: bytes) -> tuple[bytes, bytes]:
    before, _, after = request.partition(PLACEHOLDER)
    return before, after


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 : at + 24].split(b"\r", 1)[0]) if at >= 0 else 0


def main(arguments: Sequence[str] = ()) -> None:  # noqa: ARG001 - no options
    """Carry out the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(_Generator(job).run()))


if __name__ == "__main__":
    main()
