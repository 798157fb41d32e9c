"""A grey region: a proxy before its API that lets a share of the answers come late.

Toxiproxy draws a toxic once for a connection; here each request draws for itself, and probes of
health are left alone. Reads `{"share": .., "late_ms": ..}` a line from standard input and follows
it: `python -m chaos.engine.grey_process LISTEN UPSTREAM SEED`.
"""

from __future__ import annotations

import asyncio
import random
import sys

import msgspec

__all__: list[str] = []

_HEAD_END = b"\r\n\r\n"


class _Grey(msgspec.Struct, kw_only=True):
    """How grey it is now."""

    share: float = 0.0
    late_ms: float = 0.0


class _Proxy:
    """Passes HTTP requests on, one after the other on each connection."""

    def __init__(self, upstream: int, rng: random.Random) -> None:
        self.grey = _Grey()
        self._upstream, self._rng = upstream, rng

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection."""
        far, there = None, None
        try:
            far, there = await asyncio.open_connection("127.0.0.1", self._upstream)
            while True:
                request = await _message(near)
                there.write(request)
                answer = await _message(far)
                if request.startswith(b"POST") and self._rng.random() < self.grey.share:
                    await asyncio.sleep(self.grey.late_ms / 1_000)
                back.write(answer)
                await back.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side hung up; the other one sees it now
        finally:
            back.close()
            if there is not None:
                there.close()


async def _message(stream: asyncio.StreamReader) -> bytes:
    """A whole request or answer; neither side of ours sends chunks."""
    head = await stream.readuntil(_HEAD_END)
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await stream.readexactly(int(value))
    return head


async def _run(listen: int, upstream: int, seed: int) -> None:
    proxy = _Proxy(upstream, random.Random(seed))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", listen)
    stream = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), sys.stdin
    )
    async with server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await stream.readline():
            proxy.grey = msgspec.json.decode(line, type=_Grey)


if __name__ == "__main__":
    asyncio.run(_run(*map(int, sys.argv[1:4])))
