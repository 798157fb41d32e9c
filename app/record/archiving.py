"""The shipper's second half: sealed segments of the journals on this host to object storage.

    read, check the seal  >  upload  >  manifest line  >  wait until published  >  marker

A crash at any point is healed by doing it again: an equal object is success. The marker allows
retention to remove the segment, so it waits until the stream has the segment's events, too.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segments_of,
)
from app.record.lines import append_lines
from app.record.object_store import ObjectConflict, ObjectStore
from app.record.retention import mark_shipped
from app.record.target import Target
from app.streams.interface import START, Position, Positions, position_of, writer_of

__all__ = ["Archiving", "Shipped"]

log = logging.getLogger(__name__)


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the manifest: the version of an object that an auditor asks for.

    Attributes:
        key: of the object.
        version: that holds the segment as it was sealed.
        sha256: of the segment, hexadecimal.
        bytes: of it.
        at_ms: when it was known to be kept, ms since the epoch.
    """

    key: str
    version: str
    sha256: str
    bytes: int
    at_ms: int


class Archiving:
    """Ships closed segments, oldest first for each writer. For one thread.

    Attributes:
        shipped: segments that were marked.
        waiting: segments not marked yet, as of the last look.
        waiting_bytes: of them.
        left: why a segment is not shipped until somebody has looked at it, by key.
    """

    def __init__(
        self,
        journals: Path,
        store: ObjectStore,
        target: Target,
        *,
        region: str,
        published: Callable[[], Positions],
        manifest: Path,
        now_ms: Callable[[], int],
    ) -> None:
        """Ship from a folder.

        Args:
            journals: with one folder a writer.
            store: keeps the segments.
            target: is the store, for its breaker.
            region: name, what keys start with.
            published: asked for what the stream has.
            manifest: file of lines that the versions are written to.
            now_ms: wall clock, ms since the epoch.
        """
        self.shipped = 0
        self.waiting = 0
        self.waiting_bytes = 0
        self.left: dict[str, str] = {}
        self._journals = journals
        self._store = store
        self._target = target
        self._region = region
        self._published = published
        self._manifest = manifest
        self._now_ms = now_ms
        self._kept: dict[str, tuple[str, Position]] = {}  # writer and end of what was uploaded

    def step(self) -> int:
        """Look once and ship what waits; how many segments were marked.

        Raises:
            TargetDown: the store takes nothing; the rest waits.
        """
        waiting = {self._key(path): path for path in self._closed()}
        self.waiting = len(waiting)
        self.waiting_bytes = sum(path.stat().st_size for path in waiting.values())
        marked = 0
        for key, path in waiting.items():
            if key not in self.left and (key in self._kept or self._keep(key, path)):
                marked += self._mark(key, path)
        return marked

    def _closed(self) -> Iterator[Path]:
        """Segments that have a successor, and no marker yet."""
        for slot in sorted(self._journals.glob("[0-9]*")):
            for path in segments_of(slot)[:-1]:
                if not path.with_name(path.name + ".shipped").exists():
                    yield path

    def _keep(self, key: str, path: Path) -> bool:
        """Bring a segment to the store; whether it is there."""
        content = path.read_bytes()
        try:
            end = _sealed_end(content)
            version = self._target.call(self._store.put, key, content)
        except (BrokenChain, ObjectConflict) as error:
            self.left[key] = str(error)
            log.error("%s is not shipped: %s", key, error)  # noqa: TRY400
            return False
        line = Shipped(
            key=key,
            version=version,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            at_ms=self._now_ms(),
        )
        append_lines(self._manifest, [msgspec.json.encode(line)])
        self._kept[key] = end
        return True

    def _mark(self, key: str, path: Path) -> bool:
        """Allow a segment to go, if the stream has all of it; whether it does."""
        writer, end = self._kept[key]
        if self._published().get(writer, START) < end:
            return False
        mark_shipped(path)
        del self._kept[key]
        self.shipped += 1
        return True

    def _key(self, path: Path) -> str:
        return f"{self._region}/{path.parent.name}/{path.name}"


def _sealed_end(content: bytes) -> tuple[str, Position]:
    """Writer and position of a segment's seal.

    Raises:
        BrokenChain: the segment is damaged, or not sealed.
    """
    last, end = None, HEADER_BYTES
    for record in records(content[HEADER_BYTES:], SegmentHeader.unpack(content)):
        last, end = record, record.end
    if last is None or last.kind is not Kind.SEAL or end != len(content):
        raise BrokenChain("the segment is not sealed")
    return writer_of(last.id), position_of(last.id)
