"""Rows of history as events of keys, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from app.features.blocks import Events
from app.features.countable import WHAT_OF_ACTION, WHAT_OF_NAME
from app.features.counter_store import shard_of
from app.features.events import Counted
from app.features.packed import Layout
from app.features.rings import Bools, Int64s, UInt64s
from app.features.spec import Entity

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Keys", "OfKeys", "int64s", "rows_where"]

Number = TypeVar("Number", np.int64, np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfKeys:
    """Events of one entity's keys.

    Attributes:
        names: keys, each once.
        row: which key each event is of, shape (events,).
        events: the events.
    """

    names: list[str]
    row: Int64s
    events: Events


class Keys:
    """Gathers the events of those keys of one entity that are in one part."""

    def __init__(self, layout: Layout, part: int, parts: int) -> None:
        self._entity = layout.entity
        self._counts = layout.counts
        self._told_apart = [c.of for c in layout.distinct if c.of is not None]
        self._part, self._parts = part, parts
        self._rows: dict[str, int] = {}
        self._row: list[Int64s] = []
        self._found: list[Events] = []

    @property
    def columns(self) -> list[str]:
        """What is read of every event."""
        bits = [f"{entity}_bit" for entity in self._told_apart]
        return ["tenant", self._entity, "amount_ref", *bits]

    def add(self, rows: pa.Table, at: str) -> None:
        """Take the events of a file.

        Args:
            rows: its columns.
            at: the one that holds the time each event counts at.
        """
        what = _what(rows)
        counts = (what & self._counts) != 0
        rows, what = rows_where(counts, rows), what[counts]
        row = self._numbered(rows)
        mine = np.flatnonzero(row >= 0)
        events = Events(
            at_ms=int64s(rows, at),
            what=what,
            amount=int64s(rows, "amount_ref"),
            bits={entity: _bits(rows, entity) for entity in self._told_apart},
        )
        self._row.append(row[mine])
        self._found.append(events.take(mine))

    def done(self) -> OfKeys:
        """All events taken."""
        found = self._found
        return OfKeys(
            names=list(self._rows),
            row=_joined(self._row, np.int64),
            events=Events(
                at_ms=_joined([one.at_ms for one in found], np.int64),
                what=_joined([one.what for one in found], np.int64),
                amount=_joined([one.amount for one in found], np.int64),
                bits={
                    entity: _joined([one.bits[entity] for one in found], np.uint64)
                    for entity in self._told_apart
                },
            ),
        )

    def _numbered(self, rows: pa.Table) -> Int64s:
        """The number of each event's key, -1 where it has none in this part."""
        import pyarrow.compute as pc  # noqa: PLC0415

        keys = pc.binary_join_element_wise(
            rows["tenant"], self._entity, rows[self._entity], ":"
        ).combine_chunks()
        encoded = keys.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        numbers = [
            self._rows.setdefault(name, len(self._rows))
            if shard_of(name, self._parts) == self._part
            else -1
            for name in names
        ]
        # Without an id there is no key: the last number stands for it.
        of_code = np.array([*numbers, -1], dtype=np.int64)
        code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.asarray(of_code[code])


def _what(rows: pa.Table) -> Int64s:
    """What each event counts as, `Counted` flags."""
    if "what" in rows.column_names:
        return _flags(rows["what"], WHAT_OF_NAME, 0)  # of a release to come: not known here
    flags = _flags(rows["action"], WHAT_OF_ACTION, int(Counted.ATTEMPTED))
    large = rows["large"].fill_null(False).to_numpy()
    return np.asarray(flags | large * int(Counted.LARGE))


def _flags(names: pa.ChunkedArray, of_name: Mapping[str, int], other: int) -> Int64s:
    encoded = names.combine_chunks().dictionary_encode()
    flags = [of_name.get(name, other) for name in encoded.dictionary.to_pylist()]
    return np.asarray(np.array(flags, dtype=np.int64)[encoded.indices.to_numpy()])


def int64s(rows: pa.Table, name: str) -> Int64s:
    """A column of whole numbers without nulls, shape (rows,)."""
    return np.asarray(rows[name].to_numpy().astype(np.int64))


def rows_where(wanted: Bools, rows: pa.Table) -> pa.Table:
    """Some of the rows."""
    import pyarrow as pa  # noqa: PLC0415

    return rows.filter(pa.array(wanted))


def _bits(rows: pa.Table, entity: Entity) -> UInt64s:
    return np.asarray(rows[f"{entity}_bit"].fill_null(0).to_numpy())


def _joined(parts: Sequence[npt.NDArray[Number]], kind: type[Number]) -> npt.NDArray[Number]:
    """Arrays one behind the other; none at all is an empty one."""
    return np.concatenate([np.zeros(0, dtype=kind), *parts])
