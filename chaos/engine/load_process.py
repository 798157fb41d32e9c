"""A load process: attempts at random times of their own, whatever came before.

Open loop: each attempt has its time of sending, drawn beforehand, and latency counts from that
time (no coordinated omission). How late the process itself was is kept beside, since a generator
that falls behind measures itself.

Reads a `Job` as the first line of standard input and `Turn`s after it; writes `Started`, an
`Outcome` for each attempt, `Said` and at last `Ended`: `python -m chaos.engine.load_process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from app.fresh_id import fresh_id
from chaos.engine.asking import AsClient, Asking, AtRegion, filled
from chaos.engine.wire import Body, Ended, Job, Outcome, Said, Started, Turn
from chaos.precedence import ahead
from stepdown_client import Attempt
from stepdown_client.attempt import canonical

__all__: list[str] = []

_encode = msgspec.json.Encoder().encode


def _write(line: Started | Outcome | Said | Ended) -> None:
    sys.stdout.buffer.write(_encode(line) + b"\n")
    sys.stdout.buffer.flush()


class _Load:
    """Sends until it is told to stop."""

    def __init__(self, job: Job, asking: Asking, attempts: list[Attempt]) -> None:
        self._job, self._asking, self._attempts = job, asking, attempts
        self._rng = random.Random(job.seed)
        self._rate = job.rate
        self._stop = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()

    def turn(self, line: bytes) -> None:
        """Do as told."""
        turn = msgspec.json.decode(line, type=Turn)
        if turn.rate is not None:
            self._rate = turn.rate
        if turn.stop:
            self._stop.set()

    async def run(self) -> None:
        """Send on time; every attempt's outcome is out when it returns."""
        due_s = time.monotonic()
        _write(Started(at_s=due_s))
        while not self._stop.is_set():
            due_s += self._rng.expovariate(self._rate)
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait_s)
            task = asyncio.create_task(self._send(due_s, self._rng.randrange(len(self._attempts))))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        await asyncio.gather(*self._in_flight)

    async def _send(self, due_s: float, row: int) -> None:
        attempt = msgspec.structs.replace(self._attempts[row], attempt_id=fresh_id("att"))
        sent_s = time.monotonic()
        answered = await self._asking.ask(attempt)
        outcome = Outcome(
            home=self._job.home,
            due_s=due_s,
            latency_ms=round((time.monotonic() - due_s) * 1_000, 2),
            lag_ms=round((sent_s - due_s) * 1_000, 2),
            row=row,
        )
        _write(filled(outcome, answered))


def _attempts(path: Path) -> list[Attempt]:
    rows = [msgspec.json.decode(line, type=Body).attempt for line in path.read_bytes().splitlines()]
    return [canonical({**row, "attempt_id": "att"})[0] for row in rows]


async def _run(job: Job, attempts: list[Attempt]) -> None:
    asking = AsClient(job, _write) if job.kind == "client" else AtRegion(job)
    async with asking:
        load = _Load(job, asking, attempts)
        gc.freeze()  # the bodies are not looked through at each collection
        reader = asyncio.create_task(_listen(load))
        await load.run()
        _write(await asking.ended())
        reader.cancel()


async def _listen(load: _Load) -> None:
    stream = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), sys.stdin
    )
    while line := await stream.readline():
        load.turn(line)
    load.turn(_encode(Turn(stop=True)))  # who started it is gone


if __name__ == "__main__":
    ahead()
    # Unbuffered: what is read beyond the first line would be lost to the loop.
    first = b""
    while not first.endswith(b"\n") and (byte := os.read(0, 1)):
        first += byte
    told = msgspec.json.decode(first, type=Job)
    uvloop.run(_run(told, _attempts(Path(told.bodies))))
