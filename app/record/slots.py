"""A writer's slot: its folder, held by one process at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from app.record.repair import bring_in
from app.record.ring_file import POINTER

__all__ = ["bring_in_others", "lock_slot"]

log = logging.getLogger(__name__)


def lock_slot(slot: Path) -> int | None:
    """Take the slot for as long as this process lives; None where another has it."""
    slot.mkdir(parents=True, exist_ok=True)
    lock = os.open(slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def bring_in_others(folder: Path) -> None:
    """Bring in what is left in the rings of slots that nobody holds.

    Fewer processes may start than died. What would wait for the next one in such a slot is gone
    with the host, and no reader sees it.
    """
    for pointer in folder.glob(f"[0-9]*/{POINTER}"):
        try:
            lock = lock_slot(pointer.parent)
            if lock is None:
                continue
            try:
                bring_in(pointer.parent)
            finally:
                os.close(lock)
        except (OSError, ValueError):
            log.exception("what is left in the ring of %s cannot be written", pointer.parent)
