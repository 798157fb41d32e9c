"""A training history as Parquet history: what a platform knew before its first decision here.

Attempts become rows of `decisions`, what counts after them rows of `effects`, so that SQL,
snapshots and backfill see them as they see what was decided here. What is known of a decision only
by whoever made it stays empty; its action and its rung are "imported".

Events need identities. These have a writer of their own, which no journal and no heartbeat has,
and the import goes into the checkpoint like a flush of the historian's: it is there as a whole
with its positions, or it is not there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.features.events import Counted
from app.features.packed import distinct_bit
from app.features.reference import REFERENCE
from app.features.rings import Bools, Int64s
from app.features.spec import DAY_MS, Entity
from app.history.columns import TABLES, arrow_schema
from app.history.files import HistoryError, HistoryFiles, Partition
from app.ids import DECISION_PREFIX
from app.models.training.counters import EventLog
from app.models.training.history import History, ids_of
from app.streams.interface import START

__all__ = ["IMPORT_WRITER", "Imported", "import_history"]

# Journals have 1,024 slots, heartbeats the last number (see `app.streams.heartbeat`).
IMPORT_WRITER = 65_534
IMPORTED = "imported"
EPOCH = 1
ROWS_MAX = 50_000
_NAMES = {int(kind): str(kind.name).lower() for kind in Counted}

Report = Callable[[float, str], None]
Columns = dict[str, pa.Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was imported.

    Attributes:
        decisions: attempts.
        effects: what counts after them and had been received by the end of the data.
        writer: of the events, "region/writer".
    """

    decisions: int
    effects: int
    writer: str


def import_history(
    history: History,
    folder: Path,
    *,
    tenant: str,
    region: int,
    report: Report = lambda _share, _what: None,
) -> Imported:
    """Write a history's attempts and what counts after them as Parquet history of one region.

    What is received after the end of the data is left out: nobody knows of it yet.

    Args:
        history: simulated, or read by a mapping.
        folder: of the region's history. One region's only: sources add.
        tenant: whose attempts they are.
        region: its number.
        report: told the share done, and of what.

    Raises:
        HistoryError: the historian is at work, or something was imported before: it would count
            twice.
    """
    with _locked(folder):
        files = HistoryFiles(folder, rows_max=ROWS_MAX)
        before = files.resume()
        writer = f"{region}/{IMPORT_WRITER}"
        if before.positions.get(writer, START) > START:
            raise HistoryError(f"{folder} has an import already; move it away to import again.")
        events = _Events(history, tenant=tenant, region=region, report=report)
        after = msgspec.structs.replace(
            before,
            flush=before.flush + 1,
            positions={**before.positions, writer: (EPOCH, events.last_seq)},
            rows=before.rows + events.last_seq,
        )
        files.commit(events, after)
    return Imported(
        decisions=len(history),
        effects=events.last_seq - len(history),
        writer=writer,
    )


class _Events(Mapping[Partition, pa.Table]):
    """The events as rows of history by table and day, each made when it is asked for.

    Attributes:
        last_seq: of the last event.
    """

    def __init__(self, history: History, *, tenant: str, region: int, report: Report) -> None:
        self._history = history
        self._tenant = tenant
        self._region = region
        self._report = report
        report(0.0, "amounts against the card's own mean")
        self._ids = {entity: ids_of(history, entity) for entity in Entity}
        self._large = _large(history)
        self._names = {
            entity: pa.array(ids.names, pa.string()) for entity, ids in self._ids.items()
        }
        self._bits = {
            entity: pa.array([distinct_bit(name) for name in ids.names], pa.uint64())
            for entity, ids in self._ids.items()
        }
        later = history.follow_ups()
        later = later.of(later.known_ms < history.end_ms)
        # By receipt: the seq of each follows those of all attempts.
        self._later = later.of(np.argsort(later.known_ms, kind="stable"))
        self._parts = {
            **_by_day("decisions", history.received_ms),
            **_by_day("effects", self._later.known_ms),
        }
        self.last_seq = len(history) + len(self._later)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Partition]:
        for at, part in enumerate(self._parts):
            self._report(0.1 + 0.9 * at / len(self), " of ".join(part))
            yield part

    def __getitem__(self, part: Partition) -> pa.Table:
        table, _ = part
        at = self._parts[part]
        columns = self._decisions(at) if table == "decisions" else self._effects(at)
        count = len(at)
        return pa.table(
            [
                columns[field.name]
                if field.name in columns
                else pa.repeat(_nothing(TABLES[table][field.name], field.type), count)
                for field in arrow_schema(table)
            ],
            schema=arrow_schema(table),
        )

    def _decisions(self, rows: Int64s) -> Columns:
        received_ms = pa.array(self._history.received_ms[rows])
        merchant = [self._history.merchants.get(id) for id in self._ids[Entity.MERCHANT].names]
        code = _indices(self._ids[Entity.MERCHANT].code[rows])
        return {
            **self._common(rows, seq=rows + 1),
            "received_ms": received_ms,
            "as_of_ms": received_ms,
            "large": pa.array(self._large[rows]),
            "action": pa.repeat(IMPORTED, len(rows)),
            "rung": pa.repeat(IMPORTED, len(rows)),
            **{
                f"merchant_{name}": pa.array(
                    [entry and getattr(entry, name) for entry in merchant], pa.string()
                ).take(code)
                for name in ("tier", "category", "country")
            },
        }

    def _effects(self, at: Int64s) -> Columns:
        later = self._later.of(at)
        rows = later.attempt
        seq = len(self._history) + at + 1
        own = f"{self._region}/{IMPORT_WRITER}/{EPOCH}/"
        return {
            **self._common(rows, seq=seq),
            "of": pc.binary_join_element_wise(own, pa.array(seq).cast(pa.string()), ""),
            "what": pa.array([_NAMES[what] for what in later.what.tolist()], pa.string()),
            "at_ms": pa.array(later.at_ms),
            "received_ms": pa.array(later.known_ms),
            "attempted_ms": pa.array(self._history.received_ms[rows]),
        }

    def _common(self, rows: Int64s, *, seq: Int64s) -> Columns:
        """Columns of both tables, of some attempts."""
        history, count = self._history, len(rows)
        codes = {entity: _indices(ids.code[rows]) for entity, ids in self._ids.items()}
        return {
            "region": pa.repeat(pa.scalar(self._region, pa.uint8()), count),
            "writer": pa.repeat(pa.scalar(IMPORT_WRITER, pa.uint16()), count),
            "epoch": pa.repeat(pa.scalar(EPOCH, pa.uint32()), count),
            "seq": pa.array(seq.astype(np.uint64)),
            "tenant": pa.repeat(self._tenant, count),
            "decision_id": _decision_ids(self._region, history.received_ms[rows], rows),
            "attempt_id": history.attempts["attempt_id"].take(pa.array(rows)).combine_chunks(),
            "amount_ref": pa.array(history.amount_ref[rows]),
            **{entity: self._names[entity].take(code) for entity, code in codes.items()},
            **{f"{entity}_bit": self._bits[entity].take(code) for entity, code in codes.items()},
        }


def _by_day(table: str, at_ms: Int64s) -> dict[Partition, Int64s]:
    """Places of the events of each day, from their times in order."""
    days, first = np.unique(at_ms // DAY_MS, return_index=True)
    places = np.split(np.arange(len(at_ms)), first[1:])
    return {
        (table, datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()): of_day
        for day, of_day in zip(days.tolist(), places, strict=False)
    }


def _large(history: History) -> Bools:
    """Which attempts were far above the card's own mean, as was known then, shape (attempts,)."""
    marked = EventLog.marked(history, REFERENCE)
    return np.asarray((marked.what[: len(history)] & int(Counted.LARGE)) != 0)


def _decision_ids(region: int, received_ms: Int64s, number: Int64s) -> pa.StringArray:
    """Ids as `app.ids` has them, of the import's writer; the same for the same row every time."""
    high = received_ms << 16 | 0x7 << 12
    low = (0b10 << 62 | region << 54 | IMPORT_WRITER << 38) | number.astype(np.uint64)
    octets = np.stack([high.astype(np.uint64), low], axis=1).astype(">u8").view(np.uint8)
    digits = np.stack([octets >> 4, octets & 0xF], axis=-1).reshape(len(number), 32)
    text = np.tile(_ID, (len(number), 1))
    text[:, ord("x") == _ID] = _DIGITS[digits]
    offsets = np.arange(len(number) + 1, dtype=np.int32) * len(_ID)
    buffers = [pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.StringArray.from_buffers(len(number), *buffers)


def _indices(code: Int64s) -> pa.Array:
    """Codes as places to take from; null where there is no id."""
    return pa.array(code, mask=code < 0)


def _nothing(kind: str, of: pa.DataType) -> pa.Scalar:
    """What a column holds of which nothing is known."""
    if "Nullable" in kind:
        return pa.scalar(None, of)
    if pa.types.is_nested(of):
        return pa.scalar([], of)
    return pa.scalar("" if pa.types.is_string(of) else 0, of)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep the historian away for as long as the import takes."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise HistoryError(f"the historian writes {folder}; stop it to import.") from None
    finally:
        os.close(lock)


_ID = np.frombuffer(f"{DECISION_PREFIX}xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".encode(), np.uint8)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
