"""Published key-value files: LMDB, written in the order of the keys, memory mapped, read only.

The processes of a host share such a file through the page cache. A look-up does no I/O that can
fail: the check of the checksum has just read the whole file, which is what warms it.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from threading import RLock

import lmdb

from app.features.spec import Entity
from app.publish import Manifest, PublicationError, publish, verified
from app.record.signing import Signer

__all__ = ["MappedFile", "publish_rows", "row_key"]

DATA = "data.mdb"
MAP_BYTES_MAX = 64 * 2**30  # address space, not memory
TRANSACTION_ROWS = 100_000  # bounds the dirty pages held in memory


@dataclass(slots=True)
class _Open:
    """An open file and how many share it."""

    env: lmdb.Environment
    users: int = 0


# LMDB opens a file only once in a process. A version that comes back while a reader of it is left
# (there and back in a rollback) shares what is open, by device and inode; the last one to let go
# closes it. Counted under a lock: by weak references alone, a file may be opened while it is being
# closed. Reentrant, since the garbage collector may let go of one while another is being opened.
_open_files: dict[tuple[int, int], _Open] = {}
_counting = RLock()


class MappedFile:
    """A published file in use; any number of threads may read it.

    It is never closed by hand: what was swapped out stays readable for those who still hold it,
    and goes with the last of them.
    """

    def __init__(
        self, folder: Path, version: str, *, kind: str, trusted: Path | None = None
    ) -> None:
        """Check a version and map it.

        Args:
            folder: where the kind is published.
            version: to map.
            kind: what it must be.
            trusted: folder of the public keys that may sign it; None asks for no signature.

        Raises:
            PublicationError: it is damaged, not signed as it must be, or no such file.
        """
        self.version = version
        self.manifest: Manifest = verified(folder, version, kind=kind, trusted=trusted)
        try:
            inode, self._env = _share(folder / "versions" / version / DATA)
        except (OSError, lmdb.Error) as error:
            raise PublicationError(f"{kind} {version} cannot be mapped: {error}.") from None
        weakref.finalize(self, _let_go, inode).atexit = False

    def get(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of keys, in their order; None for one that is not there."""
        with self._env.begin() as txn:
            return [txn.get(key) for key in keys]


def row_key(tenant: str, entity: Entity, id: str) -> bytes:
    """Where an entity's row is."""
    return f"{tenant}:{entity}:{id}".encode()


def publish_rows(
    folder: Path,
    *,
    kind: str,
    rows: Iterable[tuple[bytes, bytes]],
    facts: Mapping[str, object],
    number: int,
    signer: Signer | None,
) -> str:
    """Write rows into a file and publish it.

    Args:
        folder: where the kind is published.
        kind: what it is.
        rows: (key, value), keys strictly ascending: so pages are written full, and once.
        facts: of the version.
        number: orders the versions of the kind.
        signer: signs the version.

    Returns:
        The version's name.

    Raises:
        PublicationError: the keys do not ascend, the file cannot be written, or the version is
            older than what is in force.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / DATA
        try:
            _write(path, iter(rows))
        except lmdb.Error as error:
            raise PublicationError(f"the {kind} cannot be written: {error}.") from None
        return publish(
            folder, kind=kind, files={DATA: path}, facts=facts, number=number, signer=signer
        )


def _write(path: Path, rows: Iterator[tuple[bytes, bytes]]) -> None:
    with lmdb.open(str(path), subdir=False, map_size=MAP_BYTES_MAX, sync=False, lock=False) as env:
        while batch := list(islice(rows, TRANSACTION_ROWS)):
            with env.begin(write=True) as txn:
                _, added = txn.cursor().putmulti(batch, append=True)
            if added != len(batch):
                later = (after for (key, _), (after, _) in pairwise(batch) if after <= key)
                name = next(later, batch[0][0]).decode()
                raise PublicationError(f"{name} comes twice, or out of order.")
        env.sync(True)


def _share(path: Path) -> tuple[tuple[int, int], lmdb.Environment]:
    status = path.stat()
    inode = status.st_dev, status.st_ino
    with _counting:
        file = _open_files.get(inode)
        if file is None:
            file = _open_files[inode] = _Open(
                lmdb.open(
                    str(path),
                    subdir=False,
                    readonly=True,
                    lock=False,  # nothing is ever written to it
                    readahead=False,
                    max_spare_txns=0,
                )
            )
        file.users += 1
        return inode, file.env


def _let_go(inode: tuple[int, int]) -> None:
    with _counting:
        file = _open_files[inode]
        file.users -= 1
        if file.users == 0:
            del _open_files[inode]
            file.env.close()
