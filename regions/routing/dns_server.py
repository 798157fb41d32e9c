"""A DNS server on one address, UDP and TCP; what it answers is handed to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

__all__ = ["Answer", "serving"]

Answer = Callable[[bytes], bytes | None]

_IDLE_S_MAX = 10.0  # of a TCP connection (RFC 7766)
_CONNECTIONS_MAX = 100


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The loop's own one is not a subclass of it in Python 3.11.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._answer(data)
        if reply is not None:
            self._transport.sendto(reply, addr)


class _Connections:
    """Answers over TCP; more connections than the limit are hung up on."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection's queries, one after the other."""
        self._open += 1
        try:
            while self._open <= _CONNECTIONS_MAX:
                async with asyncio.timeout(_IDLE_S_MAX):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    reply = self._answer(await reader.readexactly(size))
                    if reply is None:
                        return
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # gone, or silent for too long: it can ask again
        finally:
            self._open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def serving(host: str, port: int, answer: Answer) -> AsyncIterator[None]:
    """Serve for the time of the block.

    Args:
        host: IPv4 address to listen on.
        port: for both UDP and TCP.
        answer: message to message; None for no answer.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(answer), local_addr=(host, port), family=socket.AF_INET
    )
    server = await asyncio.start_server(_Connections(answer).serve, host, port)
    try:
        yield
    finally:
        server.close()
        transport.close()
