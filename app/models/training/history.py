"""History as training reads it: attempts and labels in columns."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.errors import OperatorError
from app.features.directory import MerchantEntry
from app.features.events import Counted
from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity
from app.models.training.follow_ups import FollowUps, millis

__all__ = ["History", "HistoryError", "encoded", "ids_of", "load_history"]

# Where the id of each entity stands: the wire's fields, dots written as two underscores.
ID_COLUMNS: Mapping[Entity, str] = {
    Entity.CARD: "instrument__token",
    Entity.CUSTOMER: "customer__id",
    Entity.MERCHANT: "merchant__id",
    Entity.TERMINAL: "merchant__terminal_id",
    Entity.DEVICE: "device__id",
    Entity.IP: "network__ip_hash",
    Entity.EMAIL: "customer__email_hash",
    Entity.BIN: "instrument__bin",
}


class HistoryError(OperatorError):
    """The data cannot be used. One sentence that says why."""


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one entity over all attempts.

    Attributes:
        code: dense number per attempt, -1 where there is no id, shape (attempts,).
        names: id by number.
    """

    code: Int64s
    names: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Attempts in order of receipt, with what was learnt of them later.

    Attributes:
        attempts: all columns; text may be dictionary-encoded.
        received_ms: receipt, ms since the epoch, shape (attempts,).
        amount_ref: reference minor units.
        fraud: the truth, where the data has it.
        labelled_ms: arrival of each attempt's first fraud label; a far future where none came.
        merchants: the directory.
        provenance: "simulated" or "production".
        later: what counts after the attempts besides those first labels: outcomes, what was
            taken back, and what was said again after that.
    """

    attempts: pa.Table
    received_ms: Int64s
    amount_ref: Int64s
    fraud: npt.NDArray[np.bool_]
    labelled_ms: Int64s
    merchants: dict[str, MerchantEntry]
    provenance: str
    later: FollowUps = field(default_factory=FollowUps.none)

    def __len__(self) -> int:
        """Attempts."""
        return len(self.received_ms)

    @property
    def day(self) -> Int64s:
        """Day of receipt, counted from the epoch, shape (attempts,)."""
        return self.received_ms // DAY_MS

    @property
    def end_ms(self) -> int:
        """Midnight after the last attempt, ms since the epoch."""
        return int(self.day[-1] + 1) * DAY_MS

    def known_fraud(self, at_ms: int) -> npt.NDArray[np.bool_]:
        """Which attempts are known as fraud at an instant, shape (attempts,)."""
        known = self.follow_ups()
        known = known.of(known.known_ms < at_ms)
        said = np.zeros(len(self), dtype=np.int64)
        np.add.at(said, known.attempt[known.what == Counted.FRAUD], 1)
        np.add.at(said, known.attempt[known.what == Counted.FRAUD_WITHDRAWN], -1)
        return said > 0

    def follow_ups(self) -> FollowUps:
        """All that counts after the attempts, in no order."""
        labelled = np.flatnonzero(self.labelled_ms < NEVER_MS)
        first = FollowUps.of_one_kind(Counted.FRAUD, labelled, self.labelled_ms[labelled])
        return first.beside(self.later)

    def take(self, rows: Int64s) -> History:
        """Some of the attempts."""
        return replace(
            self,
            attempts=self.attempts.take(pa.array(rows)),
            received_ms=self.received_ms[rows],
            amount_ref=self.amount_ref[rows],
            fraud=self.fraud[rows],
            labelled_ms=self.labelled_ms[rows],
            later=self.later.of_attempts(rows, len(self)),
        )

    def documents(self) -> list[dict[str, Any]]:
        """The attempts as bodies of `POST /v1/decisions`."""
        names = [name for name in self.attempts.column_names if name not in _NOT_ON_THE_WIRE]
        columns = {name: _decoded(self.attempts[name]) for name in names}
        return [_document(row) for row in pa.table(columns).to_pylist()]


NEVER_MS = np.iinfo(np.int64).max
_NOT_ON_THE_WIRE = {"received_at", "region", "amount_ref", "fraud", "fraud_pattern", "day"}


def load_history(folder: Path) -> History:
    """Load a simulated history.

    Raises:
        HistoryError: the folder holds none.
    """
    manifest = folder / "manifest.json"
    if not manifest.exists():
        raise HistoryError(f"{folder} holds no finished simulation; make one: stepdown simulate.")
    attempts = _read_attempts(folder / "attempts")
    received = millis(attempts["received_at"])
    if (np.diff(received) < 0).any():
        raise HistoryError(f"{folder}: the attempts are not in order of receipt.")
    labels = pq.read_table(folder / "labels.parquet")
    merchants = pq.read_table(folder / "merchants.parquet").to_pylist()
    labelled_ms, later = _follow_ups(folder, attempts["attempt_id"], labels)
    return History(
        attempts=attempts,
        received_ms=received,
        amount_ref=attempts["amount_ref"].to_numpy().astype(np.int64),
        fraud=attempts["fraud"].to_numpy(zero_copy_only=False).astype(bool),
        labelled_ms=labelled_ms,
        merchants={
            row["merchant_id"]: MerchantEntry(
                tier=row["tier"], category=row["category"], country=row["country"]
            )
            for row in merchants
        },
        provenance="simulated",
        later=later,
    )


def ids_of(history: History, entity: Entity) -> Ids:
    """The ids of an entity as dense numbers, in order of their first attempts."""
    codes, names = encoded(history.attempts[ID_COLUMNS[entity]])
    return Ids(codes, names.to_pylist())


def encoded(column: pa.ChunkedArray) -> tuple[Int64s, pa.StringArray]:
    """A text column as numbers: the place of each row's value, -1 for none, and the values.

    Values stand in the order of their first rows. A dictionary is used as it is where it does, so
    that text is told apart once, when it is read.
    """
    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = pc.dictionary_encode(array.cast(pa.string()))
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    names = array.dictionary
    # Rows that were taken from more have a dictionary with values of others, in their order.
    first = np.full(len(names) + 1, len(codes), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    used = np.flatnonzero(first[:-1] < len(codes))
    order = used[np.argsort(first[used], kind="stable")]
    if len(order) == len(names) and (np.diff(order) > 0).all():
        return codes, names
    number = np.full(len(names) + 1, -1, dtype=np.int64)
    number[order] = np.arange(len(order))
    return number[codes], names.take(pa.array(order))


def _read_attempts(folder: Path) -> pa.Table:
    """All attempts; text but their own ids as dictionaries, a fraction of its size."""
    schema = pq.read_schema(next(folder.rglob("*.parquet")))
    words = [at.name for at in schema if pa.types.is_string(at.type) and at.name != "attempt_id"]
    return pq.read_table(folder, partitioning=None, read_dictionary=words).combine_chunks()


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _follow_ups(
    folder: Path, attempt_ids: pa.ChunkedArray, labels: pa.Table
) -> tuple[Int64s, FollowUps]:
    """Arrival of each attempt's first fraud label, and all else that counts later."""
    said = FollowUps.of_labels(attempt_ids, labels)
    labelled_ms = np.full(len(attempt_ids), NEVER_MS, dtype=np.int64)
    fraud = said.what == Counted.FRAUD
    np.minimum.at(labelled_ms, said.attempt[fraud], said.at_ms[fraud])
    first = fraud & (said.at_ms == labelled_ms[said.attempt])
    return labelled_ms, said.of(~first).beside(_outcomes(folder, attempt_ids))


def _outcomes(folder: Path, attempt_ids: pa.ChunkedArray) -> FollowUps:
    path = folder / "outcomes.parquet"
    if not path.exists():  # made before there were any
        return FollowUps.none()
    columns = ["attempt_id", "kind", "received_at"]
    return FollowUps.of_outcomes(attempt_ids, pq.read_table(path, columns=columns))


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        part = document
        *groups, field = _path(name)
        for group in groups:
            part = part.setdefault(group, {})
        part[field] = msgspec.to_builtins(value)
    # The wire requires these two. Data without them get a merchant that no directory knows, and an
    # instrument of this attempt alone, so that no velocity limit takes all of them for one card.
    document.setdefault("merchant", {}).setdefault("id", "mer_not_mapped")
    once = uuid.uuid5(uuid.NAMESPACE_OID, document["attempt_id"])
    document.setdefault("instrument", {}).setdefault("token", f"instrument_{once}")
    return document


def _path(column: str) -> list[str]:
    """The field of the wire that a column holds, from the outside in."""
    # The name of a declared extra may hold two underscores itself.
    return column.split("__", 1 if column.startswith("attributes__") else -1)
