"""What counts in a history, read in columns for whoever folds it into counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from app.features.packed import Layout
from app.features.rings import Bools
from app.history.columns import DAY, arrow_schema
from app.history.counted_columns import Keys, OfKeys, int64s, rows_where
from app.history.files import CHECKPOINT, PARQUET, PART, Checkpoint, HistoryError
from app.streams.interface import START, Positions

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CountedHistory", "checkpoint_of"]

T = TypeVar("T")
# Where a file may stand: as the part of a flush, and under its final name.
_Paths = tuple[Path, Path]

_IDENTITY = ("region", "writer", "epoch", "seq")
# By table: the time that an event counts at, and what tells as what.
_TABLES = {"decisions": ("received_ms", ("action", "large")), "effects": ("at_ms", ("what",))}


def checkpoint_of(folder: Path) -> Checkpoint:
    """How far a region's history is; without any, the checkpoint of nothing.

    Raises:
        HistoryError: the checkpoint is damaged, or gone while there are files.
    """
    path = folder / CHECKPOINT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        if any(folder.glob(f"*/{DAY}=*/*{PARQUET}")):
            raise HistoryError(f"{path} is gone; what the files hold is not known.") from None
        return Checkpoint()
    except (OSError, msgspec.MsgspecError) as error:
        raise HistoryError(f"{path} cannot be read: {error}.") from None


class CountedHistory:
    """The events of a history up to fixed positions: the same, however often they are read.

    The historian may go on writing meanwhile. Its files only grow, so what is behind the positions
    is passed over, and what is before them is in whatever version of a file is found.
    """

    def __init__(self, folder: Path, positions: Positions) -> None:
        """Open a history.

        Args:
            folder: of one region's history.
            positions: of its checkpoint, now or before.
        """
        self._folder = folder
        self._positions = positions

    def newest_ms(self) -> int:
        """When an event of the newest day was received, ms since the epoch; 0 without any."""
        newest = 0
        for table in _TABLES:
            for paths in reversed(self._files(table)):
                rows = _read(paths, table, ["received_ms", *_IDENTITY])
                received_ms = int64s(rows, "received_ms")[self._inside(rows)]
                if len(received_ms):
                    newest = max(newest, int(received_ms.max()))
                    break
        return newest

    def rows_since(self, since_ms: int) -> int:
        """How many rows the days since then have."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - 60 MB, for a rebuild only

        files = [paths for table in _TABLES for paths in self._files(table, since_ms)]
        return sum(_of_first(paths, pq.read_metadata).num_rows for paths in files)

    def of(self, layout: Layout, *, since_ms: int, part: int, parts: int) -> OfKeys:
        """Events that change the values of an entity.

        Args:
            layout: of the values.
            since_ms: events before it are left out, ms since the epoch.
            part: which keys: those that `shard_of` puts there.
            parts: how many parts there are.

        Raises:
            HistoryError: a file cannot be read.
        """
        keys = Keys(layout, part, parts)
        for table, (at, what) in _TABLES.items():
            columns = list(dict.fromkeys([at, *what, *_IDENTITY, *keys.columns]))
            for paths in self._files(table, since_ms):
                rows = _read(paths, table, columns, since=(at, since_ms))
                keys.add(rows_where(self._inside(rows), rows), at)
        return keys.done()

    def _inside(self, rows: pa.Table) -> Bools:
        """Which rows are events up to the positions, shape (rows,)."""
        region, writer, epoch, seq = (int64s(rows, name) for name in _IDENTITY)
        number = (region << 16) | writer
        inside = np.zeros(len(rows), dtype=bool)
        for one in np.unique(number).tolist():
            last_epoch, last_seq = self._positions.get(f"{one >> 16}/{one & 0xFFFF}", START)
            before = (epoch < last_epoch) | ((epoch == last_epoch) & (seq <= last_seq))
            inside |= (number == one) & before
        return inside

    def _files(self, table: str, since_ms: int = 0) -> list[_Paths]:
        """A table's files, by day.

        A committed file is a part until it gets its final name. Parts are listed first: one that
        is renamed in between is found under its final name.
        """
        mark = f".{checkpoint_of(self._folder).flush}{PART}"
        folder = self._folder / table
        parts = [path.with_suffix("").with_suffix("") for path in folder.glob(f"{DAY}=*/*{mark}")]
        final = folder.glob(f"{DAY}=*/*{PARQUET}")
        first = f"{DAY}={datetime.fromtimestamp(since_ms // 1_000, UTC).date().isoformat()}"
        return [
            (path.with_name(path.name + mark), path)
            for path in sorted({*parts, *final})
            if path.parent.name >= first
        ]


def _read(
    paths: _Paths, table: str, columns: Sequence[str], since: tuple[str, int] | None = None
) -> pa.Table:
    """Columns of a file, those that it was written without as nulls.

    Args:
        paths: of the file.
        table: that it is of.
        columns: to read.
        since: a column, and the value below which rows are left out.
    """
    import pyarrow.dataset as ds  # noqa: PLC0415

    wanted = None if since is None else ds.field(since[0]) >= since[1]
    schema = arrow_schema(table)

    def read(path: Path) -> pa.Table:
        file = ds.dataset(path, schema=schema, format="parquet")
        return file.to_table(columns=list(columns), filter=wanted)

    return _of_first(paths, read)


def _of_first(paths: _Paths, read: Callable[[Path], T]) -> T:
    """What reads of the file, wherever it is.

    Raises:
        HistoryError: it cannot be read.
    """
    for path in paths:
        try:
            return read(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:  # as pyarrow's own errors are
            raise HistoryError(f"{path} cannot be read: {error}.") from None
    raise HistoryError(f"{paths[-1]} is gone.")
