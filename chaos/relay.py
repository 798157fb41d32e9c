"""A way to a region on which questions arrive at once and answers as late as is wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Way", "late_answers"]

CHUNK_BYTES = 65_536


@dataclass
class Way:
    """A way to a region.

    Attributes:
        url: what to call instead of the region.
        late_s: how much later than given the answers arrive; may be changed at any time.
    """

    url: str
    late_s: float = 0.0


@asynccontextmanager
async def late_answers(url: str) -> AsyncIterator[Way]:
    """A way to a region, for as long as the block lasts.

    Args:
        url: address of the region's API.
    """
    far = urlsplit(url)
    way = Way("")

    async def serve(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            answers, there = await asyncio.open_connection(far.hostname, far.port)
            await asyncio.gather(_pass(near, there), _pass(answers, back, way))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    way.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield way


async def _pass(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way | None = None
) -> None:
    """Hand on what comes, one chunk after the other, until there is no more."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(CHUNK_BYTES):
            if way is not None and way.late_s:
                await asyncio.sleep(way.late_s)
            sink.write(chunk)
            await sink.drain()
    sink.close()
