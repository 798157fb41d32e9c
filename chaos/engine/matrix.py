"""The fault matrix as data: what has to hold in each row, and who drills it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from app.errors import OperatorError
from chaos.engine.spec import LAST_ROW, Drill

__all__ = ["MATRIX", "Covered", "Row", "covered", "load_matrix"]

MATRIX = Path(__file__).parents[1] / "matrix.toml"

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row.

    Attributes:
        row: number.
        fault: what happens.
        expected: what then holds.
        apart: drills with figures of their own that drill it.
        tests: tests that drill it on real processes or sockets, as pytest names them.
        reason: why nothing does; empty where something does.
        rate_per_year: assumed, of a region.
        lasts_s: assumed, each time.
    """

    row: Annotated[int, msgspec.Meta(ge=1, le=LAST_ROW)]
    fault: Text
    expected: Text
    apart: tuple[Text, ...] = ()
    tests: tuple[Text, ...] = ()
    reason: str = ""
    rate_per_year: Annotated[float, msgspec.Meta(ge=0)]
    lasts_s: Annotated[float, msgspec.Meta(ge=0)]


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """A row and its drills of the engine."""

    row: Row
    drills: tuple[str, ...]

    @property
    def drilled(self) -> bool:
        """Whether anything drills it."""
        return bool(self.drills or self.row.apart or self.row.tests)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: tuple[Row, ...]


def load_matrix(path: Path = MATRIX) -> tuple[Row, ...]:
    """Every row, in order.

    Raises:
        OperatorError: the file cannot be read, or does not have each row once.
    """
    try:
        rows = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).rows
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise OperatorError(f"{path} is no fault matrix: {error}.") from None
    if [one.row for one in rows] != list(range(1, LAST_ROW + 1)):
        raise OperatorError(f"{path} does not have each row from 1 to {LAST_ROW} once, in order.")
    return rows


def covered(rows: Sequence[Row], drills: Iterable[Drill]) -> list[Covered]:
    """Each row with the drills that name it. Pure."""
    by_row: dict[int, list[str]] = {one.row: [] for one in rows}
    for drill in drills:
        for row in drill.rows:
            by_row[row].append(drill.name)
    return [Covered(row=one, drills=tuple(by_row[one.row])) for one in rows]
