"""The proxy of a grey region, started and turned."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import msgspec

from app.errors import OperatorError
from chaos.engine.reached import Reached

__all__ = ["grey_proxy", "turned_grey"]


@contextmanager
def grey_proxy(ground: Reached, *, seed: int) -> Iterator[tuple[IO[bytes], int]]:
    """A proxy before the drilled region's API, which lets everything through until it is turned.

    Yields:
        What it is told by, and its port.

    Raises:
        OperatorError: it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    upstream = ground.api(ground.region).rpartition(":")[2]
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "chaos.engine.grey_process", str(port), upstream, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"ready\n":
            raise OperatorError("the proxy of the grey region does not start.")
        yield process.stdin, port
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def turned_grey(told: IO[bytes], *, share: float, late_ms: float) -> Iterator[None]:
    """A share of the answers comes late for as long as the block lasts."""
    _tell(told, share, late_ms)
    try:
        yield
    finally:
        _tell(told, 0.0, 0.0)


def _tell(told: IO[bytes], share: float, late_ms: float) -> None:
    told.write(msgspec.json.encode({"share": share, "late_ms": late_ms}) + b"\n")
    told.flush()
