"""The gunicorn worker: uvicorn's, with a bound on the headers of a request, and replaced in turn.

httptools takes headers of any size, and a request that is not even authenticated yet must not
hold the loop for half a second. How a worker is replaced: `app/replacement.py`.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

from app.api.problem import PROBLEM_JSON, Malformed
from app.replacement import Newcomers, ReplacedServer

__all__ = ["Worker", "newcomers"]

HEADER_BYTES_MAX = 16 * 1024

# Made before the first fork, so that all workers share it.
newcomers = Newcomers()


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on headers that are larger than any honest request's."""

    _header_bytes = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read as a request, and hang up."""
        body = Malformed(f"{msg.rstrip('.')}.").body("")
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {PROBLEM_JSON}\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES_MAX:
            raise ValueError("headers too large")


class Worker(UvicornWorker):  # type: ignore[misc]
    """What gunicorn runs."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "http": BoundedProtocol,
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
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
