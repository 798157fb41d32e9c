"""The Parquet files of one region's history, and what makes each event stand in them once.

    history/checkpoint.json                       positions, and the number of the last flush
    history/<table>/day=<UTC day>/<first event>.parquet

A flush writes its files beside their final names, marked with the flush's number, then replaces
the checkpoint: that moment decides. Only then are they renamed. Whatever a crash leaves marked
with the checkpoint's number is renamed by the next start; any other mark belongs to a flush that
never was, and is removed. So no event is lost, none stands twice, and no two flushes need to cut
the events alike.

Few files rather than many: a flush that still fits goes into the table's last file of that day.
That file is written anew and put in place by a rename, so a reader sees it before or after. Two
files that follow each other hold more than `rows_max` rows together, save for one a restart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.errors import OperatorError
from app.history.columns import DAY, TABLES
from app.record.group_sync import sync_folder
from app.streams.interface import Position

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Checkpoint", "HistoryError", "HistoryFiles", "Partition"]

CHECKPOINT = "checkpoint.json"
PARQUET = ".parquet"
PART = ".part"

# A table and a day, such as ("decisions", "2026-05-01").
Partition = tuple[str, str]


class HistoryError(OperatorError):
    """History cannot be written, read or asked. One sentence that says why."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far a history is.

    Attributes:
        flush: number of the last flush.
        positions: last (epoch, seq) taken of each journal writer, by "region/writer".
        rows: in all files.
        missed: events that the stream did not have any more.
        unreadable: events that could not be read; the log says why.
    """

    flush: int = 0
    positions: dict[str, Position] = {}
    rows: int = 0
    missed: int = 0
    unreadable: int = 0


class HistoryFiles:
    """Writes one region's history. One at a time for a folder."""

    def __init__(self, folder: Path, *, rows_max: int) -> None:
        """Write below a folder.

        Args:
            folder: of the region's history.
            rows_max: of a file. A decision takes 250 bytes with 40 numbers, 1.4 KB with 340.
        """
        self._folder = folder
        self._rows_max = rows_max
        self._last: dict[Partition, tuple[Path, int]] = {}  # file, and its rows

    def resume(self) -> Checkpoint:
        """End what a crash cut short. Returns where the last flush stopped.

        Raises:
            HistoryError: the checkpoint is gone or damaged, so what the files hold is not known.
            OSError: the folder cannot be read or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._last = {}
        checkpoint = self._checkpoint()
        for part in sorted(self._folder.glob(f"*/{DAY}=*/*{PART}")):
            if part.suffixes[-2] == f".{checkpoint.flush}":
                _put_in_place(part)
            else:
                part.unlink()
        return checkpoint

    def commit(self, rows: Mapping[Partition, pa.Table], after: Checkpoint) -> None:
        """Keep rows, and with them that they were taken; all or nothing.

        Args:
            rows: by partition; in order, each behind what the partition has.
            after: the checkpoint that includes them; its flush is one more than the last.

        Raises:
            OSError: the disk is full or failing. Call `resume`: it tells what was kept.
        """
        parts = [self._write(partition, table, after.flush) for partition, table in rows.items()]
        for folder in {part.parent for part in parts}:
            sync_folder(folder)
        self._write_checkpoint(after)
        for part in parts:
            _put_in_place(part)

    def _write(self, partition: Partition, fresh: pa.Table, flush: int) -> Path:
        """Write a partition's rows, with those of its last file if they fit. Returns the part."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that only a historian needs
        import pyarrow.parquet as pq  # noqa: PLC0415

        path, rows = self._last.get(partition, (None, 0))
        if path is not None and rows + len(fresh) <= self._rows_max:
            fresh = pa.concat_tables([pq.ParquetFile(path).read(), fresh])
        else:
            path = self._new_file(partition, fresh)
        part = path.with_suffix(f"{PARQUET}.{flush}{PART}")
        with part.open("wb") as file:
            pq.write_table(
                fresh,
                file,
                compression="zstd",
                row_group_size=self._rows_max,
                use_dictionary=_REPEATING[partition[0]],
            )
            file.flush()
            os.fsync(file.fileno())
        self._last[partition] = path, len(fresh)
        return part

    def _new_file(self, partition: Partition, rows: pa.Table) -> Path:
        """A name that no other file has on any host: its first event's identity."""
        table, day = partition
        folder = self._folder / table / f"{DAY}={day}"
        folder.mkdir(parents=True, exist_ok=True)
        region, writer, epoch, seq = (rows[name][0].as_py() for name in _IDENTITY)
        return folder / f"{region:03d}-{writer:05d}-{epoch:08d}-{seq:012d}{PARQUET}"

    def _checkpoint(self) -> Checkpoint:
        path = self._folder / CHECKPOINT
        try:
            return msgspec.json.decode(path.read_bytes(), type=Checkpoint)
        except FileNotFoundError:
            if not any(self._folder.glob(f"*/{DAY}=*/*{PARQUET}")):
                return Checkpoint()
            problem = "is gone"
        except msgspec.MsgspecError as error:
            problem = f"cannot be read ({error})"
        raise HistoryError(
            f"{path} {problem}; move {self._folder} away and the journals are read from the start."
        )

    def _write_checkpoint(self, checkpoint: Checkpoint) -> None:
        fresh = self._folder / f"{CHECKPOINT}.new"
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(checkpoint))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / CHECKPOINT)
        sync_folder(self._folder)


def _put_in_place(part: Path) -> None:
    part.replace(part.with_suffix("").with_suffix(""))
    sync_folder(part.parent)


_IDENTITY = ("region", "writer", "epoch", "seq")
# Columns whose values repeat; a dictionary of any other is built only to be thrown away.
_REPEATING = {
    table: [name for name, kind in columns.items() if kind.startswith("LowCardinality")]
    for table, columns in TABLES.items()
}
