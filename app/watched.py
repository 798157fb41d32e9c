"""Files that people edit: reloaded when they change, the last good content kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["WatchedFile"]

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What a process holds of one file.

    `refresh` does the disk work and may run in a thread; `value` is read by the decision path.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], T],
        *,
        beside: Sequence[str] = (),
        keep_when_gone: bool = False,
    ) -> None:
        """Watch a file.

        Args:
            path: the file.
            load: makes the thing from it; raises ValueError to refuse.
            beside: glob patterns, from the file's folder, of files that belong to it.
            keep_when_gone: whether the last content outlives the file; otherwise a file that is
                gone is withdrawn, and so is its content.
        """
        self.value: T | None = None
        self.refused: str | None = None
        self._path = path
        self._load = load
        self._beside = tuple(beside)
        self._keep_when_gone = keep_when_gone
        self._seen: tuple[tuple[str, int, int], ...] = ()

    def refresh(self) -> bool:
        """Look at the file and follow it. Returns whether anything changed."""
        try:
            seen = self._fingerprint()
        except FileNotFoundError:
            return self._gone()
        except OSError as error:
            self._seen = ()
            return self._refuse(str(error))
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.value, self.refused = self._load(self._path), None
        except (ValueError, OSError) as error:
            self.refused = str(error)
        return True

    def _gone(self) -> bool:
        never_there = not self._seen and self.refused is None
        self._seen = ()
        if self._keep_when_gone:
            if never_there and self.value is not None:  # a default that came from elsewhere
                return False
            return self._refuse(f"{self._path} is gone; its last content stays in force.")
        changed = self.value is not None or self.refused is not None
        self.value = self.refused = None
        return changed

    def _refuse(self, why: str) -> bool:
        changed, self.refused = self.refused != why, why
        return changed

    def _fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        self._path.stat()  # raises when it is gone
        folder = self._path.parent
        beside = sorted(path for pattern in self._beside for path in folder.glob(pattern))
        return tuple(map(_stamp, (self._path, *beside)))


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:  # a link to nothing: whether that will do is for the loader to say
        return str(path), 0, 0
    return str(path), status.st_mtime_ns, status.st_ino
