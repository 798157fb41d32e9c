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
            self._seen = ()
            if self._keep_when_gone:
                self.refused = f"{self._path} is gone; its last content stays in force."
                return False
            changed = self.value is not None
            self.value = self.refused = None
            return changed
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.value, self.refused = self._load(self._path), None
        except (ValueError, OSError) as error:
            self.refused = str(error)
        return True

    def _fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        folder = self._path.parent
        paths = [self._path, *sorted(p for pattern in self._beside for p in folder.glob(pattern))]
        stats = [(str(path), path.stat()) for path in paths]
        return tuple((name, status.st_mtime_ns, status.st_ino) for name, status in stats)
