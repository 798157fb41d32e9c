"""The decision path's client: one write a turn, replies in order, and never later than asked."""

from __future__ import annotations

import asyncio

import pytest

from app.features.shard import ShardClient
from app.settings import Shard
from fallback.errors import (
    DependencyCorrupt,
    DependencyRefusal,
    DependencyTimeout,
    DependencyUnavailable,
)

TIMEOUT_MS = 60.0


class Server:
    """Speaks just enough of the protocol: says what it was told to, in order."""

    def __init__(self):
        self.received = []
        self.replies = []
        self.connections = 0
        self.silent = False

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return Shard("127.0.0.1", self.server.sockets[0].getsockname()[1])

    async def serve(self, reader, writer):
        self.connections += 1
        while data := await reader.read(65_536):
            self.received.append(data)
            if not self.silent:
                for _ in range(data.count(b"\r\nGET\r\n") + data.count(b"\r\nSETNAME\r\n")):
                    writer.write(self.replies.pop(0) if self.replies else b"+OK\r\n")
        writer.close()


@pytest.fixture
async def server():
    made = Server()
    made.address = await made.start()
    yield made
    made.server.close()


@pytest.fixture
async def shard(server):
    made = ShardClient(server.address, password=None, timeout_ms=TIMEOUT_MS, region="here")
    yield made
    await made.close()


async def outcome(*futures):
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_commands_of_one_turn_leave_in_one_write_and_replies_come_in_order(server, shard):
    server.replies = [b"+OK\r\n", b"$1\r\na\r\n", b":7\r\n", b"$-1\r\n"]
    found = await outcome(*(shard.submit("GET", name) for name in "xyz"))
    assert found == [b"a", 7, None]
    assert (len(server.received), server.connections) == (1, 1)
    server.replies = [b"$1\r\nb\r\n"]
    assert await shard.submit("GET", "w") == b"b"
    assert server.connections == 1


async def test_an_error_is_of_its_own_command_alone(server, shard):
    server.replies = [b"+OK\r\n", b"-ERR wrong\r\n", b":1\r\n"]
    wrong, right = await outcome(shard.submit("GET", "x"), shard.submit("GET", "y"))
    assert isinstance(wrong, DependencyRefusal)
    assert right == 1


async def test_replies_that_are_waited_for_together_come_in_order_beside_others(server, shard):
    server.replies = [b"+OK\r\n", b"$1\r\na\r\n", b":7\r\n", b"$-1\r\n", b":8\r\n"]
    before, together, after = (
        shard.submit("GET", "w"),
        shard.submit_all([("GET", "x"), ("GET", "y")]),
        shard.submit("GET", "z"),
    )
    assert await outcome(before, together, after) == [b"a", [7, None], 8]


async def test_an_error_among_those_that_are_waited_for_together_is_of_all_and_of_no_other(
    server, shard
):
    server.replies = [b"+OK\r\n", b"-ERR wrong\r\n", b":1\r\n", b":2\r\n"]
    together, after = shard.submit_all([("GET", "x"), ("GET", "y")]), shard.submit("GET", "z")
    wrong, right = await outcome(together, after)
    assert isinstance(wrong, DependencyRefusal)
    assert right == 2


async def test_a_silent_server_costs_the_time_out_and_no_more(server, shard):
    server.silent = True
    started_s = asyncio.get_running_loop().time()
    (late,) = await outcome(shard.submit("GET", "x"))
    assert isinstance(late, DependencyTimeout)
    assert asyncio.get_running_loop().time() - started_s < 10 * TIMEOUT_MS / 1_000


async def test_a_caller_who_gives_up_does_not_leave_the_others_waiting(server, shard):
    server.silent = True
    first, second = shard.submit("GET", "x"), shard.submit("GET", "y")
    second.cancel()
    assert isinstance((await outcome(first))[0], DependencyTimeout)


async def test_a_server_that_stays_silent_is_hung_up_on_and_called_again(server, shard):
    await shard.submit("GET", "x")
    server.silent = True
    for _ in range(8):
        (late,) = await outcome(shard.submit("GET", "x"))
        assert isinstance(late, DependencyTimeout | DependencyUnavailable)
    server.silent = False
    server.replies = []
    assert await shard.submit("GET", "x") == b"OK"
    assert server.connections > 1


async def test_where_nobody_listens_every_command_fails_at_once(server, shard):
    server.server.close()
    await server.server.wait_closed()
    first, second = await outcome(shard.submit("GET", "x"), shard.submit("GET", "y"))
    assert isinstance(first, DependencyUnavailable)
    assert isinstance(second, DependencyUnavailable)


async def test_a_reply_that_cannot_be_read_ends_the_connection_and_the_next_command_has_another(
    server, shard
):
    server.replies = [b"+OK\r\n", b"?nonsense\r\n"]
    (wrong,) = await outcome(shard.submit("GET", "x"))
    assert isinstance(wrong, DependencyCorrupt)
    assert await shard.submit("GET", "x") == b"OK"


async def test_those_that_are_waited_for_together_are_late_together(server, shard):
    server.silent = True
    (late,) = await outcome(shard.submit_all([("GET", "x"), ("GET", "y")]))
    assert isinstance(late, DependencyTimeout)


async def test_a_caller_who_gives_up_leaves_the_others_their_replies(server, shard):
    server.replies = [b"+OK\r\n", b":1\r\n", b":2\r\n"]
    first, second = shard.submit("GET", "x"), shard.submit("GET", "y")
    first.cancel()
    assert await second == 2


async def test_a_connection_that_was_refused_is_hung_up_and_the_next_command_has_another(
    server, shard
):
    server.replies = [b"-WRONGPASS invalid password\r\n", b"-NOAUTH Authentication required\r\n"]
    (refused,) = await outcome(shard.submit("GET", "x"))
    assert isinstance(refused, DependencyRefusal | DependencyUnavailable)
    await asyncio.sleep(0)  # the connection is closed in the turn after
    assert await shard.submit("GET", "y") == b"OK"
    assert server.connections == 2
