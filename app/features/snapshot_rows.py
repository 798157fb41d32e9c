"""Rows of a snapshot in the making: they arrive in batches and in any order, and leave in order.

Rows are gathered in arrays (about 70 bytes each), ordered by key and appended to the file: twice
as fast as inserting them as they come, and the file is smaller, since its pages are full. A bound
on the entities bounds the memory, too: at twice as many rows the lowest ranked are dropped and
only counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.features.spec import Entity

__all__ = ["Batch", "Bound", "EntityRows", "Strings"]

CHUNK_ROWS = 100_000


class Strings(Protocol):
    """A column of strings, such as a `pyarrow.StringArray`."""

    def to_pylist(self) -> list[str]:
        """The strings."""
        ...


Batch = tuple[Entity, Strings | list[str], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Which entities of a kind are worth a row.

    Attributes:
        rows_max: how many, at least 1.
        by: the column that ranks them: those with the highest values stay, of equals those that
            came first; NaN ranks lowest.
    """

    rows_max: int
    by: str

    def __post_init__(self) -> None:
        if self.rows_max < 1:
            raise ValueError(f"a bound is at least 1 row, and this is {self.rows_max}")


class EntityRows:
    """The rows of one kind of entity so far.

    Attributes:
        count: rows gathered and kept.
        left_out: rows beyond the bound.
    """

    def __init__(self, columns: Sequence[str], bound: Bound | None) -> None:
        self._width = len(columns)
        self._bound = bound
        self._rank_at = None if bound is None else columns.index(bound.by)
        self._ids = [np.empty(0, dtype=np.bytes_)]
        self._values = [np.empty((0, len(columns)))]
        self.count = 0
        self.left_out = 0

    def add(self, ids: Strings | list[str], values: npt.NDArray[np.float64]) -> None:
        """Gather a batch.

        Args:
            ids: of the entities.
            values: shape (ids, columns).

        Raises:
            ValueError: the values have another shape.
        """
        names = ids if isinstance(ids, list) else ids.to_pylist()
        if values.shape != (len(names), self._width):
            raise ValueError(
                f"{len(names)} ids and {self._width} columns, but values of shape {values.shape}"
            )
        self._ids.append(np.array([id.encode() for id in names], dtype=np.bytes_))
        self._values.append(values.astype("<f8"))
        self.count += len(names)
        if self._bound is not None and self.count > 2 * self._bound.rows_max:
            self.prune()

    def prune(self) -> None:
        """Join the batches and drop what is beyond the bound."""
        ids, values = np.concatenate(self._ids), np.concatenate(self._values)
        if self._bound is not None and len(ids) > self._bound.rows_max:
            ranked = np.argsort(-values[:, self._rank_at], kind="stable")
            kept = np.sort(ranked[: self._bound.rows_max])
            self.left_out += len(ids) - len(kept)
            ids, values = ids[kept], values[kept]
        self._ids, self._values, self.count = [ids], [values], len(ids)

    def ordered(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Key and row by key, once: the memory goes with the last one."""
        self.prune()
        (ids,), (values,) = self._ids, self._values
        self._ids, self._values = [], []
        order = np.argsort(ids)
        size = 8 * self._width
        for start in range(0, len(order), CHUNK_ROWS):
            chosen = order[start : start + CHUNK_ROWS]
            raw = values[chosen].tobytes()
            for at, id in enumerate(ids[chosen].tolist()):
                yield prefix + id, raw[at * size : (at + 1) * size]
