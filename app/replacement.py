"""A worker that is replaced serves until those that replace it do.

On SIGHUP gunicorn starts new workers and ends the old ones at once, while the new ones take seconds
to come up: until then nobody answers. So who is told to end looks whether others are coming, and
goes on until as many serve as there should be. Then it takes no more connections and ends those
it has with their next answer, so that no request is on its way to a connection that closes.

A stop starts no others, so that everybody ends at once.
"""

from __future__ import annotations

import mmap
import signal
import time
from socket import socket
from types import FrameType

from uvicorn.config import Config
from uvicorn.server import Server

__all__ = ["Newcomers", "ReplacedServer"]

# What comes up in this time never will, and the old release goes on no longer.
WAIT_S_MAX = 30.0
# Callers with a kept connection send something within this, or use it so seldom that it may close.
PARTING_S = 1.0

_CELLS = 1_024
_CLOSE = (b"connection", b"close")


class Newcomers:
    """Which workers of a program replace others, and which serve, for all of its processes.

    Workers are told apart by gunicorn's ages, which grow by one with each. In memory that forks
    share.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (1 + _CELLS))).cast("q")

    def replace(self, age: int) -> None:
        """All workers up to an age are replaced, by those that are made from now on."""
        self._cells[0] = age

    def serves(self, age: int) -> None:
        """A worker serves."""
        self._cells[1 + age % _CELLS] = age

    def lack(self, age: int, workers: int) -> bool:
        """Whether a worker is replaced, and fewer than `workers` serve in its place."""
        replaced = self._cells[0]
        return age <= replaced and sum(one > replaced for one in self._cells[1:]) < workers


class ReplacedServer(Server):
    """A server that ends when it is not needed any more."""

    def __init__(self, config: Config, *, age: int, workers: int, newcomers: Newcomers) -> None:
        """Make the server.

        Args:
            config: of uvicorn.
            age: of this worker.
            workers: that there should be.
            newcomers: of this program.
        """
        super().__init__(config)
        self._age, self._workers, self._newcomers = age, workers, newcomers
        self._give_up_s: float | None = None
        self._part_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, at once or once others serve."""
        if sig == signal.SIGTERM and self._give_up_s is None and self._is_needed():
            self._give_up_s = time.monotonic() + WAIT_S_MAX
        if self._give_up_s is None or sig != signal.SIGTERM:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        if self.started:
            self._newcomers.serves(self._age)

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether it is time to end."""
        ends = await super().on_tick(counter)
        if self._give_up_s is None:
            return ends
        now_s = time.monotonic()
        if self._part_s is None and (now_s >= self._give_up_s or not self._is_needed()):
            self._part_s = now_s + PARTING_S
            for listening in self.servers:
                listening.close()
        if self._part_s is not None:
            if _CLOSE not in self.server_state.default_headers:
                self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
            if now_s >= self._part_s:
                super().handle_exit(signal.SIGTERM, None)
        return ends or self.should_exit

    def _is_needed(self) -> bool:
        return self.started and self._newcomers.lack(self._age, self._workers)
