"""A store that is built beside the one in use, and takes its place.

    <region>/datastore/           in use, by the supervised server
    <region>/datastore.next/      filled by a server of its own, on a port that nobody knows
    <region>/datastore/appendonlydir.before    what was in use before the switch

The switch exchanges append-only files while the supervised server is down: addresses,
configuration and readers stay, and the copies in other regions follow their primary. Readers meet
a cold or complete store, never a half-filled one.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import redis

from app.datastore_binary import datastore_binary
from app.errors import OperatorError
from app.features.backfill import backfill
from app.features.counter_store import APPLIED_KEY, SCANNED_AT_ONCE
from app.features.spec import Entity, FeatureSet
from app.settings import Shard
from app.streams.connection import connect

__all__ = ["FILES", "NextStore"]

FILES = "appendonlydir"
_BEFORE = f"{FILES}.before"
_LOOPBACK = "127.0.0.1"
START_S_MAX = 30.0
STOP_S_MAX = 60.0
SAMPLED = 500

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStore:
    """The next store of one region.

    Attributes:
        folders: of the servers in use, one a shard; the next ones are beside them.
        history: folder of the region's history.
        features: what is counted.
        now_ms: wall clock, ms since the epoch.
    """

    folders: Sequence[Path]
    history: Path
    features: FeatureSet
    now_ms: Callable[[], int]

    def build(self, report: Report) -> dict[str, int]:
        """Fill it from history; goes on where an earlier run was cut short.

        Returns:
            How many values each shard's server has.

        Raises:
            OperatorError: it cannot be built.
        """
        with self._running() as clients:
            backfill(
                self.history,
                clients,
                self.features,
                now_ms=self.now_ms(),
                replace=True,  # of an earlier run that was completed and not switched to
                report=report,
            )
            return {
                f"shard {at}": client.dbsize() - client.exists(APPLIED_KEY)
                for at, client in enumerate(clients)
            }

    def compare(self, old: Sequence[redis.Redis]) -> tuple[int, int]:
        """How many of a sample of its keys the store in use knows, too: (known, sampled).

        Raises:
            redis.RedisError: the store in use is away.
        """
        known = sampled = 0
        with self._running() as clients:
            for client, used in zip(clients, old, strict=True):
                names = _sample(client)
                sampled += len(names)
                known += sum(map(bool, used.mget(names))) if names else 0
        return known, sampled

    @property
    def built(self) -> bool:
        """Whether there is one."""
        return all((_next(folder) / FILES).exists() for folder in self.folders)

    def exchange(self) -> None:
        """Put its files where the server in use finds them; that server is down meanwhile."""
        for folder in self.folders:
            before = folder / _BEFORE
            shutil.rmtree(before, ignore_errors=True)
            if (folder / FILES).exists():
                (folder / FILES).rename(before)
            (_next(folder) / FILES).rename(folder / FILES)
            shutil.rmtree(_next(folder))

    @contextlib.contextmanager
    def _running(self) -> Iterator[list[redis.Redis]]:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(_server(_next(folder))) for folder in self.folders]


def _sample(client: redis.Redis) -> list[bytes]:
    """Some keys, a share of each entity's."""
    each = SAMPLED // len(Entity)
    return [
        name
        for entity in Entity
        for name in islice(client.scan_iter(match=f"*:{entity}:*", count=SCANNED_AT_ONCE), each)
    ]


def _next(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.next")


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[redis.Redis]:
    """A server of a folder for the time of the block; what it holds is on disk afterwards."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [
                *(str(datastore_binary()), "--port", str(port), "--bind", _LOOPBACK),
                *("--dir", str(folder), "--save", "", "--maxmemory-policy", "noeviction"),
                *("--appendonly", "yes", "--appendfsync", "everysec"),
            ],
            stdout=log,
            stderr=log,
        )
    client = connect(Shard(_LOOPBACK, port), None, name="stepdown-rebuild", timeout_s=10.0)
    try:
        _until_it_answers(client, process, folder)
        yield client
    finally:
        client.close()
        process.terminate()  # writes out what it holds
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_it_answers(client: redis.Redis, process: subprocess.Popen[bytes], folder: Path) -> None:
    end_s = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < end_s:
        with contextlib.suppress(redis.RedisError):
            client.ping()
            return
        time.sleep(0.02)
    raise OperatorError(f"the next store's server does not start; see {folder / 'server.log'}.")
