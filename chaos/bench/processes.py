"""A server of one process that is started for a measurement, and taken down."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.errors import OperatorError
from chaos.bench.cpu import Cores, pin, tree
from chaos.bench.serving import Serving, request

__all__ = ["HOST", "served"]

HOST = "127.0.0.1"
START_S_MAX = 90.0
STOP_S_MAX = 10.0
POLL_S = 0.1


@contextmanager
def served(
    command: Sequence[str | Path],
    *,
    folder: Path,
    port: int,
    path: str,
    bodies: Sequence[bytes],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Serving]:
    """A server, pinned as a scorer is, for as long as the block lasts.

    Args:
        command: that serves at `port` until it is told to end.
        folder: that it runs in; its output goes there.
        port: it listens on.
        path: that bodies are posted to.
        bodies: JSON, sent in turn.
        environment: of the process; that of this one by default.

    Raises:
        OperatorError: it does not start; its last words.
    """
    cores = Cores.of_machine()
    requests = [request(path, {"Host": f"{HOST}:{port}"}, body) for body in bodies]
    log = folder / "output.txt"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - servers that we name
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment
        ) as process,
    ):
        try:
            _wait(process, port, path, bodies[0], log)
            pin(tree(process.pid), cores.server)
            yield Serving(
                host=HOST,
                port=port,
                requests=requests,
                cores=cores,
                trees=lambda: {"server": tree(process.pid)},
            )
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], port: int, path: str, body: bytes, log: Path) -> None:
    """Wait until it answers a request well."""
    give_up_s = time.monotonic() + START_S_MAX
    said = "nothing"
    while process.poll() is None and time.monotonic() < give_up_s:
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return
            said = f"{answer.status} {answer.read(200)!r}"
        except OSError as error:
            said = str(error)
        finally:
            connection.close()
        time.sleep(POLL_S)
    words = log.read_text("utf-8", errors="replace").strip().splitlines()
    raise OperatorError(
        f"the server at port {port} does not serve {path}: {said}; {words[-1] if words else ''}"
    )
