"""A host's ledger of stand-in approvals: a memory-mapped file that its scorers share.

Every change is made under `flock`, which the kernel lets go of when its holder dies. One that is
stopped while it holds the lock cannot be waited for on the event loop, so a wait is bounded.

The file is never made shorter or replaced here, since a process that has it mapped would be killed
at its next access; its disk blocks are reserved for the same reason.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import OperatorError
from fallback.exposure import CELLS

__all__ = ["LedgerFile", "LedgerUnavailableError", "LockBusyError", "boot_identity"]

MAGIC, LAYOUT = 0x5DE9_0A7E, 1
HEADER_CELLS = 8
BYTES = 8 * (HEADER_CELLS + CELLS)
LOCK_S_MAX, LOCK_TRY_S = 0.002, 0.00002
OPEN_LOCK_S_MAX = 1.0


class LedgerUnavailableError(OperatorError):
    """The file cannot be used; one sentence that says why."""


class LockBusyError(Exception):
    """The lock was not to be had in time."""


class LedgerFile:
    """The cells of a ledger in a file, and their lock.

    Attributes:
        cells: `fallback.exposure.CELLS` of them.
    """

    def __init__(self, path: Path, *, identity: int) -> None:
        """Map the file; one that is not there, or holds something else, becomes a new ledger.

        Args:
            path: of the file.
            identity: of the clock that the ledger runs on; cells of another one are void.

        Raises:
            LedgerUnavailableError: it cannot be opened, locked or given its size.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            weakref.finalize(self, os.close, self._fd)
            with self.locked(OPEN_LOCK_S_MAX):
                if os.fstat(self._fd).st_size < BYTES:
                    os.posix_fallocate(self._fd, 0, BYTES)
                self._mapped = mmap.mmap(self._fd, BYTES)
                everything = memoryview(self._mapped).cast("q")
                header = [MAGIC, LAYOUT, identity]
                if everything[: len(header)].tolist() != header:
                    self._mapped[:] = memoryview(bytes(BYTES))
                    for at, value in enumerate(header):
                        everything[at] = value
        except (OSError, LockBusyError) as error:
            raise LedgerUnavailableError(f"{path} cannot be shared: {error}.") from None
        self.cells: memoryview[int] = everything[HEADER_CELLS:]

    @contextmanager
    def locked(self, wait_s_max: float = LOCK_S_MAX) -> Iterator[None]:
        """Hold the lock for as long as the block lasts.

        Raises:
            LockBusyError: it was not to be had within `wait_s_max`.
        """
        give_up_s = None
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                now_s = time.monotonic()
                give_up_s = now_s + wait_s_max if give_up_s is None else give_up_s
                if now_s >= give_up_s:
                    raise LockBusyError(f"locked for {wait_s_max * 1_000:g} ms") from None
                time.sleep(LOCK_TRY_S)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def in_place(self) -> bool:
        """Whether its path still leads to it: to this very file, as large as it was."""
        try:
            there, mapped = self._path.stat(), os.fstat(self._fd)
        except OSError:
            return False
        same = (there.st_dev, there.st_ino) == (mapped.st_dev, mapped.st_ino)
        return same and there.st_size >= BYTES


def boot_identity() -> int:
    """Tells the boots of this machine apart: its monotonic clock starts anew with each."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    return int(text.replace("-", ""), 16) % 2**63
