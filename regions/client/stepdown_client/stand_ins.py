"""What the client decided by itself, until a region has it: bounded, and kept in a file if told.

The file has one JSON object a line and is only added to; it begins anew when everything is posted,
and at the start with what is left. A line that was cut by a crash is passed over. A stand-in may be
posted twice after a crash: regions enter each attempt once.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from stepdown_client.answer import Action
from stepdown_client.attempt import Attempt

__all__ = ["StandIn", "StandIns"]


class StandIn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One, as `POST /v1/stand-ins` takes it."""

    attempt: Attempt
    action: Action
    decided_at: str
    policy_version: int
    reasons: tuple[str, ...] = ()


class StandIns:
    """The queue.

    Attributes:
        dropped: that found no room, or that every region refused for good.
        unwritten: that are in memory only, since the file took nothing.
    """

    def __init__(self, path: Path | None, *, size_max: int) -> None:
        """Begin with what was left.

        Args:
            path: of the file; None to keep them in memory only.
            size_max: of them that are kept.
        """
        self._path = path
        self._size_max = size_max
        self._queue: OrderedDict[str, StandIn] = OrderedDict()
        self.dropped = 0
        self.unwritten = 0
        if path is not None:
            self._read(path)
            self._rewrite()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def add(self, stand_in: StandIn) -> None:
        """Keep one; the first of an attempt stays."""
        if stand_in.attempt.attempt_id in self._queue:
            return
        if len(self._queue) >= self._size_max:
            self.dropped += 1
            return
        self._queue[stand_in.attempt.attempt_id] = stand_in
        if self._path is not None:
            self._append(self._path, stand_in)

    def find(self, attempt_id: str) -> StandIn | None:
        """What was decided on an attempt that waits."""
        return self._queue.get(attempt_id)

    def oldest(self, number: int) -> list[StandIn]:
        """So many, or as many as there are."""
        return list(islice(self._queue.values(), number))

    def done(self, stand_in: StandIn, *, taken: bool) -> None:
        """A region has it, or none ever will."""
        self._queue.pop(stand_in.attempt.attempt_id, None)
        self.dropped += not taken
        if not self._queue:
            self._rewrite()

    def close(self) -> None:
        """Leave in the file what is left."""
        self._rewrite()

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError:  # not there, or not readable: then writing it says so
            return
        for line in lines:
            try:
                stand_in = msgspec.json.decode(line, type=StandIn)
            except msgspec.MsgspecError:
                continue
            if len(self._queue) < self._size_max:
                self._queue[stand_in.attempt.attempt_id] = stand_in

    def _append(self, path: Path, stand_in: StandIn) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(msgspec.json.encode(stand_in) + b"\n")
        except OSError:
            self.unwritten += 1

    def _rewrite(self) -> None:
        if self._path is None:
            return
        content = b"".join(msgspec.json.encode(one) + b"\n" for one in self._queue.values())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_name(f".{self._path.name}-{os.getpid()}")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            fresh.replace(self._path)
        except OSError:
            self.unwritten = len(self._queue)
