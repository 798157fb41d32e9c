"""A server, and a connection to it."""

from __future__ import annotations

import pytest

from tests.unit.app.connection.setting import Server


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


@pytest.fixture
def line(server):
    return server.call()


@pytest.fixture(params=["short", "long"])
def way(request):
    """Sends a request the short way, in one piece, or the long one, with its body in two."""

    async def send(line, data):
        before = line.loop.tasks
        pieces = [data] if request.param == "short" else [data[:-5], data[-5:]]
        await line.send(*pieces)
        assert line.loop.tasks - before == (request.param == "long")

    return send
