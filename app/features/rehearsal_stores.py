"""Datastores of a rehearsal: servers of this process alone, gone when it is over."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from app.datastore_binary import datastore_binary
from app.errors import OperatorError
from app.settings import Shard
from app.streams.connection import connect

__all__ = ["datastores"]

START_S_MAX = 10.0
STOP_S_MAX = 5.0
_LOOPBACK = "127.0.0.1"


@contextmanager
def datastores(folder: Path, *, count: int) -> Iterator[list[Shard]]:
    """Run so many empty servers; they keep everything in memory.

    Args:
        folder: of their logs.
        count: how many.

    Yields:
        Their addresses.

    Raises:
        OperatorError: there is no server to run, or one does not start.
    """
    binary = datastore_binary()
    with ExitStack() as stack:
        yield [
            stack.enter_context(_running(binary, folder / f"datastore-{at}.log"))
            for at in range(count)
        ]


@contextmanager
def _running(binary: Path, log: Path) -> Iterator[Shard]:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        shard = Shard(_LOOPBACK, probe.getsockname()[1])
    command = [str(binary), "--port", str(shard.port), "--bind", _LOOPBACK, "--save", ""]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=output, stderr=output, cwd=log.parent
        )
    try:
        _wait(shard, process, log)
        yield shard
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(shard: Shard, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_s = time.monotonic() + START_S_MAX
    with connect(shard, None) as client:
        while process.poll() is None and time.monotonic() < give_up_s:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.01)
            else:
                return
    said = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise OperatorError(f"the datastore of the rehearsal does not start: {said}.")
