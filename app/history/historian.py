"""The historian: follows the journals and keeps what SQL and training ask for as Parquet.

Never on the decision path. What it has taken but not flushed is taken again after a crash; what it
has flushed is not (see `app.history.files`). An event that cannot be read is passed over, counted
and named in the log: one of them must not hold up all others.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.history.columns import arrow_schema
from app.history.files import Checkpoint, HistoryFiles, Partition
from app.history.rows import Row, row_of
from app.record.frames import Record
from app.streams.heartbeat import KEPT_EVERY_MS, latest_ms
from app.streams.interface import START, EventStream, Position, position_of, writer_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BATCH_RECORDS_MAX", "Historian"]

BATCH_RECORDS_MAX = 2_048

log = logging.getLogger(__name__)


class Historian:
    """Keeps what one stream brings. Call `resume` first, then `step` for ever.

    Attributes:
        checkpoint: of the last flush.
    """

    def __init__(
        self,
        stream: EventStream,
        files: HistoryFiles,
        *,
        monotonic: Callable[[], float],
        rows_max: int,
        linger_s: float,
    ) -> None:
        """Make a historian.

        Args:
            stream: the events.
            files: where they are kept.
            monotonic: clock, seconds.
            rows_max: rows from which they are flushed; about 2 KB of memory each.
            linger_s: how long a row may wait for others, seconds.
        """
        self.checkpoint = Checkpoint()
        self._stream = stream
        self._files = files
        self._monotonic = monotonic
        self._rows_max = rows_max
        self._linger_s = linger_s
        self._taken = _Taken(self.checkpoint)
        self._since_s: float | None = None  # when the oldest row that waits was taken

    def resume(self) -> None:
        """Go on from the last flush: at the start, and after a step that raised.

        Raises:
            HistoryError: what the files hold is not known.
            OSError: they cannot be read.
            StreamError: the stream does not reach back so far.
        """
        self.checkpoint = self._files.resume()
        self._forget()
        self._stream.rewind(self.checkpoint.positions)

    def step(self) -> int:
        """Take one batch, and flush when it is time. Returns the events taken.

        Raises:
            OSError: the journals cannot be read, or the files not be written.
            StreamError: the stream did not give what it should.
        """
        records = self._stream.read(BATCH_RECORDS_MAX)
        self._taken.add(records)
        if self._taken.rows and self._since_s is None:
            self._since_s = self._monotonic()
        waited_s = 0.0 if self._since_s is None else self._monotonic() - self._since_s
        if (
            self._taken.rows >= self._rows_max
            or waited_s >= self._linger_s
            or self._taken.beaten_ms >= KEPT_EVERY_MS
        ):
            self.flush()
        return len(records)

    def flush(self) -> None:
        """Keep the rows that wait. Without any, positions wait for the next ones, an hour at most.

        Raises:
            OSError: the files cannot be written.
        """
        if not self._taken.rows and self._taken.beaten_ms < KEPT_EVERY_MS:
            return
        after = self._taken.checkpoint()
        self._files.commit(self._taken.tables(), after)
        self.checkpoint = after
        self._forget()

    def _forget(self) -> None:
        self._taken = _Taken(self.checkpoint)
        self._since_s = None


class _Taken:
    """What was taken since a checkpoint."""

    def __init__(self, before: Checkpoint) -> None:
        self.rows = 0
        self._before = before
        self._positions: dict[str, Position] = dict(before.positions)
        self._missed = self._unreadable = 0
        self._batches: defaultdict[Partition, list[pa.RecordBatch]] = defaultdict(list)

    @property
    def beaten_ms(self) -> int:
        """What heartbeats have moved on by; nothing where there are none, as in journals."""
        return latest_ms(self._positions) - latest_ms(self._before.positions)

    def add(self, records: Sequence[Record]) -> None:
        """Take further events, in order for each writer."""
        found: defaultdict[Partition, list[Row]] = defaultdict(list)
        for table, row in self._read(records):
            found[table, _day(row["received_ms"])].append(row)
        for partition, rows in found.items():
            batch = self._batch(partition[0], rows)
            self._batches[partition].append(batch)
            self.rows += batch.num_rows

    def tables(self) -> dict[Partition, pa.Table]:
        """The rows."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that only a historian needs

        return {of: pa.Table.from_batches(batches) for of, batches in self._batches.items()}

    def checkpoint(self) -> Checkpoint:
        """The checkpoint that includes them."""
        before = self._before
        return Checkpoint(
            flush=before.flush + 1,
            positions=self._positions,
            rows=before.rows + self.rows,
            missed=before.missed + self._missed,
            unreadable=before.unreadable + self._unreadable,
        )

    def _read(self, records: Iterable[Record]) -> Iterable[tuple[str, Row]]:
        for record in records:
            if not self._follow(record):
                continue
            try:
                row = row_of(record)
            except ValueError as error:
                self._unreadable += 1
                log.error("%s is passed over: %s", record.id, error)  # noqa: TRY400
                continue
            if row is not None:
                yield row

    def _batch(self, table: str, rows: list[Row]) -> pa.RecordBatch:
        """The rows in columns; one that does not fit is passed over, or it would come for ever."""
        import pyarrow as pa  # noqa: PLC0415

        schema = arrow_schema(table)
        try:
            return pa.RecordBatch.from_pylist(rows, schema=schema)
        except (pa.ArrowException, OverflowError) as error:
            if len(rows) == 1:
                self._unreadable += 1
                log.error("a row of %s is passed over: %s: %s", table, error, rows[0])  # noqa: TRY400
                return pa.RecordBatch.from_pylist([], schema=schema)
        half = len(rows) // 2
        parts = [self._batch(table, rows[:half]), self._batch(table, rows[half:])]
        return pa.concat_batches(parts)

    def _follow(self, record: Record) -> bool:
        """Move the writer's position on. Returns whether the event is new: streams may repeat."""
        writer, (epoch, seq) = writer_of(record.id), position_of(record.id)
        last_epoch, last_seq = self._positions.get(writer, START)
        if (epoch, seq) <= (last_epoch, last_seq):
            return False
        expected = last_seq + 1 if epoch == last_epoch else 1
        if missed := seq - expected:
            self._missed += missed
            log.error("%d events before %s are missing", missed, record.id)
        self._positions[writer] = epoch, seq
        return True


def _day(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // 1_000, UTC).date().isoformat()
