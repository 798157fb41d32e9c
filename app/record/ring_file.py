"""Where a writer's ring lies: a file in shared memory, which a file in the writer's folder names.

So whoever opens the writer's slot finds what the process before left, and a reader what waits,
without being told where. Shared memory is emptied when the host starts anew: a ring that is not
there is no error.

Its pages are reserved when it is made. Memory that is full is then found at opening, where the
journal can do without a ring, and not by a signal at some append.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.record.ring import OVERHEAD_BYTES, ForeignRing, Ring

__all__ = [
    "POINTER",
    "RingFile",
    "RingRoom",
    "all_written_before_ms",
    "forget_ring",
    "ring_of",
    "wait_until_written",
    "waiting_in",
]

POINTER = "ring"
WAITS_MS_MAX = 2_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingRoom:
    """What rings may take.

    Attributes:
        folder: in shared memory, as `/dev/shm`; each user's rings are in one of their own below.
        size: bytes of one ring.
    """

    folder: Path
    size: int


class RingFile:
    """A writer's mapped ring, and what leads to it.

    Attributes:
        ring: lies in it.
    """

    def __init__(self, path: Path, slot: Path, mapped: mmap.mmap, epoch: int | None = None) -> None:
        """Use what is mapped; see `made` and `there`.

        Args:
            path: of the file.
            slot: the writer's folder.
            mapped: all of the file.
            epoch: of the writer of a new ring; None where it is one already.
        """
        self._path, self._slot = path, slot
        self._mapped = mapped
        self._memory = memoryview(mapped)
        try:
            if epoch is None:
                self.ring = Ring(self._memory, _owner(slot))
            else:
                self.ring = Ring.made(self._memory, _owner(slot), epoch=epoch)
        except BaseException:
            self._unmap()
            raise

    @classmethod
    def made(cls, slot: Path, room: RingRoom, *, epoch: int) -> RingFile:
        """Make a writer's ring, in the place of what may be there.

        Raises:
            OSError: there is no such memory, it is full, or it is somebody else's.
        """
        folder = room.folder / f"stepdown-{os.geteuid()}"
        _ensure_own(folder)
        _sweep(folder)
        name = hashlib.sha256(os.fsencode(_owner(slot))).hexdigest()[:32]
        path = folder / f"{name}.ring"
        path.unlink(missing_ok=True)
        # Before the ring: no record may ever be in one that nobody finds.
        fresh = slot / f"{POINTER}.new"
        fresh.write_bytes(os.fsencode(path))
        fresh.replace(slot / POINTER)
        try:
            return cls(path, slot, _mapped(path, room.size + OVERHEAD_BYTES), epoch)
        except OSError:
            path.unlink(missing_ok=True)
            forget_ring(slot)
            raise

    @classmethod
    @contextmanager
    def there(cls, path: Path, slot: Path) -> Iterator[RingFile]:
        """The ring that is in a file, for the block.

        Raises:
            OSError: it is not there, or cannot be mapped.
            ForeignRing: it is none, or another writer's.
        """
        file = cls(path, slot, _mapped(path))
        try:
            yield file
        finally:
            file.close()

    def close(self) -> None:
        """Unmap it; it stays where it is."""
        self.ring.release()
        self._unmap()

    def remove(self) -> None:
        """Unmap it for good, once all of it is in the files."""
        self.close()
        forget_ring(self._slot)
        self._path.unlink(missing_ok=True)

    def _unmap(self) -> None:
        self._memory.release()
        self._mapped.close()


def ring_of(slot: Path) -> Path | None:
    """The file of a writer's ring; None where the writer has none."""
    try:
        return Path(os.fsdecode((slot / POINTER).read_bytes()))
    except FileNotFoundError:
        return None


def forget_ring(slot: Path) -> None:
    """Let nothing lead from a writer's folder to a ring."""
    (slot / POINTER).unlink(missing_ok=True)


def waiting_in(slot: Path) -> dict[str, tuple[int, bytes]]:
    """What is on its way into a writer's segments: offset and bytes by the segment's name.

    For readers: a snapshot without a lock, of which the chain tells whether it is whole. To be
    taken before the files are read; what has left the ring by then is in them.
    """
    with _looked_at(slot) as ring:
        if ring is None:
            return {}
        return {
            piece.name: (piece.offset, b"".join(ring.views(piece.at, piece.length)))
            for piece in ring.waiting()
        }


def all_written_before_ms(folder: Path) -> int:
    """A moment before which all that was appended is in the writers' files, ms since the epoch.

    Now, where nothing waits. What waits for longer than some seconds is left out: it is in the ring
    of a process that died, or for a disk that takes nothing, and as good as a gap until then.

    Args:
        folder: of a region's journals.
    """
    now_ms = time.time_ns() // 1_000_000
    waiting = [_waiting_since_ms(path.parent) for path in folder.glob(f"[0-9]*/{POINTER}")]
    since_ms = min((since for since in waiting if since is not None), default=now_ms)
    return min(now_ms, max(since_ms, now_ms - WAITS_MS_MAX))


def wait_until_written(folder: Path) -> None:
    """Wait until all that was appended before this call is in the writers' files.

    What cannot be written is waited for some seconds; see `all_written_before_ms`.

    Args:
        folder: of a region's journals.
    """
    asked_ms = time.time_ns() // 1_000_000
    # Not up to that moment: what was appended within this very millisecond counts, too.
    while all_written_before_ms(folder) <= asked_ms:
        time.sleep(0.001)


def _waiting_since_ms(slot: Path) -> int | None:
    with _looked_at(slot) as ring:
        return None if ring is None else ring.waiting_since_ms


@contextmanager
def _looked_at(slot: Path) -> Iterator[Ring | None]:
    """A writer's ring, to look at; None where there is none that can be read."""
    path = ring_of(slot)
    mapped = None
    if path is not None:
        with suppress(OSError, ValueError), path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped is None:
        yield None
        return
    with mapped, memoryview(mapped) as memory:
        try:
            ring = Ring(memory, _owner(slot))
        except ForeignRing:
            yield None
            return
        try:
            yield ring
        finally:
            ring.release()


def _mapped(path: Path, made_of: int | None = None) -> mmap.mmap:
    """Map a file; a new one of so many bytes, or the one that is there."""
    made = 0 if made_of is None else os.O_CREAT | os.O_EXCL
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | made, 0o600)
    try:
        if made_of is not None:
            os.posix_fallocate(fd, 0, made_of)
        elif not os.fstat(fd).st_size:
            raise ForeignRing("not a ring of this format")
        # With all its pages, so that no append has to fetch one.
        return mmap.mmap(fd, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    finally:
        os.close(fd)


def _owner(slot: Path) -> Path:
    """Whose a ring is: the writer's folder, as it is called from everywhere."""
    return slot.resolve()


def _ensure_own(folder: Path) -> None:
    """Make the folder, or see that it is nobody else's: shared memory is everybody's to write."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone")


def _sweep(folder: Path) -> None:
    """Remove rings of folders that are no more: they take memory until the host starts anew."""
    for path in folder.glob("*.ring"):
        with suppress(OSError):
            with path.open("rb") as file:
                owner = Ring.owner_in(file.read(OVERHEAD_BYTES))
            if owner is not None and not owner.exists():
                path.unlink()
