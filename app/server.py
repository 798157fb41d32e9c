"""The gunicorn worker: uvicorn's, with connections of our own, and replaced in turn.

What is different about connections: `app/connection.py`; how a worker is replaced:
`app/replacement.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from socket import socket
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from uvicorn_worker import UvicornWorker

from app.connection import Connection
from app.replacement import Newcomers, ReplacedServer

__all__ = ["Worker", "newcomers", "once_more"]

# Connections that a turn of the event loop accepts.
AT_A_TIME = 32

# Made before the first fork, so that all workers share it.
newcomers = Newcomers()


class Worker(UvicornWorker):  # type: ignore[misc]
    """What gunicorn runs."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "http": Connection,
        "loop": "uvloop",
        "lifespan": "on",
        # Nothing asks for them, and both cost every request.
        "proxy_headers": False,
        "server_header": False,
    }

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = ReplacedServer(
            self.config, age=self.age, workers=self.cfg.workers, newcomers=newcomers
        )
        self._install_sigquit_handler()
        await server.serve(sockets=[*self.sockets, *once_more(self.sockets)])
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


def once_more(sockets: Sequence[socket]) -> list[socket]:
    """The same listening sockets again, so often that a turn of the loop accepts `AT_A_TIME`.

    libuv accepts one connection a turn from each socket that it is given. A turn with a batch in it
    takes 10 ms and more, and then who calls anew waits for seconds behind a few hundred others: all
    of a region that was lost, or whoever gave up on a connection that was slow.
    """
    return [one.dup() for one in sockets for _ in range(AT_A_TIME - 1)]
