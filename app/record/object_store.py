"""Where sealed journal segments are kept for good: objects that are written once.

How it may fail:

ObjectStoreError
  ObjectStoreUnavailable   out of reach, full or refused; the same call may work later
  ObjectConflict           another content is there under the key; it is never written over
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Protocol

from app.record.group_sync import sync_folder

__all__ = [
    "FolderObjects",
    "ObjectConflict",
    "ObjectStore",
    "ObjectStoreError",
    "ObjectStoreUnavailable",
]


class ObjectStoreError(Exception):
    """The object is not known to be kept."""


class ObjectStoreUnavailable(ObjectStoreError):  # noqa: N818 - a state, said as one
    """The store is out of reach, full or refuses; the same call may work later."""


class ObjectConflict(ObjectStoreError):  # noqa: N818 - a fact about what is stored
    """Another content is kept under the key. Somebody has to look at it: nothing is overwritten."""


class ObjectStore(Protocol):
    """Keeps objects for good."""

    def put(self, key: str, content: bytes) -> str:
        """Keep an object; done when it is durable. An equal one that is there already is fine.

        Returns:
            The version that holds the content.

        Raises:
            ObjectStoreUnavailable: perhaps it was taken; the same call may be made again.
            ObjectConflict: something else is there.
        """
        ...


class FolderObjects:
    """Objects as files below a folder. Implements `ObjectStore`.

    Read-only files, which keeps accidents away and nobody else; a version is the SHA-256 of the
    content.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, content: bytes) -> str:
        """Keep an object, unless an equal one is there."""
        path = self._folder / key
        try:
            self._write(path, content)
            kept = path.read_bytes()
        except OSError as error:
            raise ObjectStoreUnavailable(f"{path} cannot be kept: {error}") from error
        if kept != content:
            raise ObjectConflict(f"{path} holds something else")
        return hashlib.sha256(kept).hexdigest()

    def _write(self, path: Path, content: bytes) -> None:
        """Put the file there as a whole, unless there is one."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(fresh, path)
            except FileExistsError:
                return  # what it holds is compared by who called
            sync_folder(path.parent)
        finally:
            fresh.unlink(missing_ok=True)
