"""Room on a Valkey stream server whose memory is full: the oldest half of its runs goes.

Retention is a number of runs, and a run may have one event or many, so the number alone does not
keep a server within its memory. A server that is full refuses every write; waiting does not help.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import redis

from app.record.frames import Record
from app.streams.interface import StreamPublisher, StreamUnavailable

__all__ = ["MakesRoom"]

log = logging.getLogger(__name__)


class MakesRoom:
    """Publishes, and trims the streams where the server has no memory left.

    Implements `StreamPublisher`. A reader that has not read what was trimmed meets a gap, which
    the journals fill.

    Attributes:
        trimmed: how often room was made.
    """

    def __init__(self, publisher: StreamPublisher, client: redis.Redis, *, stream: str) -> None:
        """Make the publisher.

        Args:
            publisher: publishes to the stream.
            client: of the stream's server.
            stream: what its keys start with.
        """
        self.trimmed = 0
        self._publisher = publisher
        self._client = client
        self._stream = stream

    def publish(self, records: Sequence[Record]) -> None:
        """Publish records; once more where room had to be made."""
        try:
            self._publisher.publish(records)
        except StreamUnavailable as error:
            if not isinstance(error.__cause__, redis.OutOfMemoryError):
                raise
            self._trim()
            self._publisher.publish(records)

    def _trim(self) -> None:
        try:
            writers = cast("list[bytes]", self._client.hkeys(f"{self._stream}:tails"))
            for name in (f"{self._stream}:{writer.decode()}" for writer in writers):
                kept = self._client.xlen(name) // 2
                self._client.xtrim(name, maxlen=kept, approximate=False)
        except redis.RedisError as error:
            raise StreamUnavailable(f"no room could be made on the stream: {error}") from error
        self.trimmed += 1
        log.warning("the stream's server was full: the older half of each writer's runs is gone")
