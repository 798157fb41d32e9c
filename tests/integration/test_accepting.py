"""A loop with much to do takes up those who call all the same."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing

import pytest
import uvloop

from app.server import AT_A_TIME, once_more

CALLERS = 4 * AT_A_TIME


class Called(asyncio.Protocol):
    """A connection that was taken up."""

    made = 0

    def connection_made(self, transport):
        Called.made += 1
        transport.abort()


async def taken_up_a_turn(sockets):
    """How many of those who call at once are taken up in each turn of the loop, at most."""
    loop, most = asyncio.get_running_loop(), 0
    servers = [await loop.create_server(Called, sock=one) for one in sockets]
    with ExitStack() as callers:
        for _ in range(CALLERS):
            caller = callers.enter_context(closing(socket.socket()))
            caller.setblocking(False)
            caller.connect_ex(sockets[0].getsockname())
        until, Called.made = loop.time() + 10.0, 0
        while Called.made < CALLERS and loop.time() < until:
            before = Called.made
            await asyncio.sleep(0)
            most = max(most, Called.made - before)
    for server in servers:
        server.close()
    assert Called.made == CALLERS
    return most


@pytest.fixture
def listening():
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        one.listen(CALLERS)
        one.setblocking(False)
        yield one


def test_a_turn_takes_up_many_who_call(listening):
    assert uvloop.run(taken_up_a_turn([listening, *once_more([listening])])) == AT_A_TIME


def test_of_one_socket_libuv_takes_up_one_a_turn(listening):
    """Why they are many; with a libuv that takes more this goes, and `once_more` with it."""
    assert uvloop.run(taken_up_a_turn([listening])) == 1
