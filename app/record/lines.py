"""Files of lines that are only ever appended to, by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["append_lines", "whole_lines"]

_LINE_BYTES_MAX = 2**16


def append_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Append lines and bring them to disk; a line that a crash cut short is cut off first.

    Raises:
        OSError: the disk is full or failing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LINE_BYTES_MAX))
        end = file.read()
        if torn := len(end) - (end.rfind(b"\n") + 1):
            file.truncate(size - torn)
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines that are in the file at the moment of the call; none without a file.

    What is appended while they are read, and an unfinished last line, is left out.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return iter(())
    return _lines(path, size)


def _lines(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if file.tell() > size or not line.endswith(b"\n"):
                return
            yield line
