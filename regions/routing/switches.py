"""The switch of each region on one machine: a file that is there while the region is out.

What is not there, or cannot be read, leaves the region in: losing the switches takes nothing out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

__all__ = ["is_out", "set_in", "set_out"]


def _path(home: Path, region: str) -> Path:
    return home / "published" / "out" / region


def is_out(home: Path, region: str) -> bool:
    """Whether a region is switched out."""
    try:
        return _path(home, region).is_file()
    except OSError:
        return False


def set_out(home: Path, region: str, *, now: datetime) -> None:
    """Switch a region out; harmless when it is.

    Args:
        home: folder of all state.
        region: which.
        now: kept in the file, for whoever looks.
    """
    path = _path(home, region)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not is_out(home, region):
        path.write_text(f"{now.astimezone(UTC).isoformat()}\n", encoding="ascii")


def set_in(home: Path, region: str) -> None:
    """Switch a region in; harmless when it is."""
    _path(home, region).unlink(missing_ok=True)
