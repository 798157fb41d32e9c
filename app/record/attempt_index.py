"""The joiner's index: the attempts of the last months, by what outcomes and labels call them.

One LMDB file, one process. Everything that a batch changes, and how far the batch went, changes in
one transaction, which is on disk when it ends. Its tables:

    attempts   key of the attempt's first decision -> Attempt
    names      hash of tenant and attempt id       -> key of the attempt's first decision
    again      key of a further decision           -> key of the first
    waiting    what waits for its attempt          -> as the joiner writes it
    progress   one entry                           -> as the joiner writes it

A decision's key is its UUIDv7 as bytes and so begins with its time: new attempts land side by side
at the end of the table, and the oldest are the first ones.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lmdb

from app.errors import OperatorError
from app.record.attempt import Attempt, decode_attempt, encode_attempt, name_of

__all__ = ["AttemptIndex", "Change"]

FILE = "attempts.mdb"
MAP_BYTES_MAX = 256 * 2**30  # address space; the file grows with what is in it
TABLES = (b"attempts", b"names", b"again", b"waiting", b"progress")
PROGRESS = b"progress"


class AttemptIndex:
    """The index on disk, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open it; it is made where there is none.

        Args:
            folder: of the joiner.

        Raises:
            OperatorError: another process has it, or it cannot be opened.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / "lock")
        except BlockingIOError:
            raise OperatorError(f"Another joiner is at work in {folder}.") from None
        except OSError as error:
            raise OperatorError(f"The joiner's folder cannot be used: {error}.") from None
        try:
            self._env = lmdb.open(
                str(folder / FILE),
                subdir=False,
                map_size=MAP_BYTES_MAX,
                max_dbs=len(TABLES),
                readahead=False,
                lock=False,  # ours keeps others out for as long as this process lives
            )
            self._tables = {name: self._env.open_db(name) for name in TABLES}
        except lmdb.Error as error:
            os.close(self._lock)
            raise OperatorError(f"The joiner's index cannot be opened: {error}.") from None

    @property
    def attempts(self) -> int:
        """How many there are."""
        with self._env.begin() as txn:
            return txn.stat(self._tables[b"attempts"])["entries"]

    @contextmanager
    def change(self) -> Iterator[Change]:
        """One transaction: on disk at the end of the block, or undone if that raises.

        Raises:
            lmdb.Error: the disk is full or failing.
        """
        with self._env.begin(write=True) as txn:
            yield Change(txn, self._tables)

    def progress(self) -> bytes | None:
        """What was kept last, if anything was."""
        with self._env.begin() as txn:
            return txn.get(PROGRESS, db=self._tables[b"progress"])

    def waiting(self) -> list[bytes]:
        """Everything that waits, in the order of its keys."""
        with self._env.begin() as txn, txn.cursor(self._tables[b"waiting"]) as cursor:
            return cast("list[bytes]", list(cursor.iternext(keys=False)))

    def close(self) -> None:
        """Give it back."""
        self._env.close()
        os.close(self._lock)


class Change:
    """A transaction under way. What it wrote, it reads."""

    def __init__(self, txn: lmdb.Transaction, tables: Mapping[bytes, Any]) -> None:
        self._txn = txn
        self._attempts, self._names, self._again, self._waiting, self._progress = (
            tables[name] for name in TABLES
        )

    def add(self, attempt: Attempt) -> None:
        """Remember an attempt; one that is known stays as it is, whatever decides it again."""
        key, name = attempt.decision, name_of(attempt.tenant, attempt.attempt_id)
        if self._txn.put(name, key, overwrite=False, db=self._names):
            self.put(attempt)
        elif (first := self._get(name, self._names)) is not None and first != key:
            self._txn.put(key, first, db=self._again)

    def put(self, attempt: Attempt) -> None:
        """Write an attempt as it is now."""
        self._txn.put(attempt.decision, encode_attempt(attempt), db=self._attempts)

    def find(self, tenant: str, attempt_id: str | None, decision: bytes | None) -> Attempt | None:
        """The attempt, by its decision or else by its id; None also where it is another tenant's.

        Args:
            tenant: who asks.
            attempt_id: of the caller, if known.
            decision: key of any of its decisions, if known.
        """
        found = None
        if decision is not None:
            first = self._get(decision, self._again) or decision
            found = self._get(first, self._attempts)
        if found is None and attempt_id is not None:
            named = self._get(name_of(tenant, attempt_id), self._names)
            found = None if named is None else self._get(named, self._attempts)
        attempt = None if found is None else decode_attempt(found)
        return attempt if attempt is not None and attempt.tenant == tenant else None

    def prune(self, *, before_ms: int, attempts_max: int, limit: int) -> int:
        """Forget the oldest attempts: those of before a time, and those that are too many.

        Args:
            before_ms: decided before this, ms since the epoch.
            attempts_max: how many may stay.
            limit: how many to forget at most.

        Returns:
            How many were.
        """
        oldest = before_ms.to_bytes(6, "big")
        excess = self._txn.stat(self._attempts)["entries"] - attempts_max
        pruned = 0
        with self._txn.cursor(self._attempts) as cursor:
            while pruned < limit and cursor.first():
                if pruned >= excess and bytes(cursor.key()) >= oldest:
                    break
                attempt = decode_attempt(bytes(cursor.value()))
                self._txn.delete(name_of(attempt.tenant, attempt.attempt_id), db=self._names)
                cursor.delete()
                pruned += 1
            first = bytes(cursor.key()) if pruned and cursor.first() else b""
        self._forget_again(first, limit)
        return pruned

    def wait(self, id: bytes, value: bytes) -> None:
        """Keep something that waits."""
        self._txn.put(id, value, db=self._waiting)

    def waited(self, id: bytes) -> None:
        """It waits no longer."""
        self._txn.delete(id, db=self._waiting)

    def keep(self, progress: bytes) -> None:
        """Keep how far all this went."""
        self._txn.put(PROGRESS, progress, db=self._progress)

    def _get(self, key: bytes, table: Any) -> bytes | None:
        return cast("bytes | None", self._txn.get(key, db=table))

    def _forget_again(self, first: bytes, limit: int) -> None:
        """Forget further decisions that are older than every attempt."""
        with self._txn.cursor(self._again) as cursor:
            for _ in range(limit):
                if not cursor.first() or bytes(cursor.key()) >= first:
                    break
                cursor.delete()


def _lock(path: Path) -> int:
    """Lock a file for as long as this process lives.

    Raises:
        BlockingIOError: another process has it.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
