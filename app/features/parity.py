"""Parity: streaming inputs computed in SQL from history against what decisions were made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from app.features.as_of import AsOf
from app.features.spec import FeatureSet
from app.history.files import CHECKPOINT, Checkpoint, HistoryError
from app.history.query import History, history_folders
from app.streams.interface import Position

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Mismatch", "Parity", "same_numbers", "served_parity"]

# Counters of several regions are added up in another order than SQL does.
RELATIVE_ERROR_MAX = 1e-9
SHOWN_MAX = 20

Bools = npt.NDArray[np.bool_]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One value that differs.

    Attributes:
        decision_id: of the decision.
        input: name of the feature, or of the entity's state.
        served: what the decision was made with.
        computed: what SQL says; of a number as float64.
    """

    decision_id: str
    input: str
    served: float | str
    computed: float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The result.

    Attributes:
        events: decisions compared.
        features: features compared of each.
        states: states of entities compared of each.
        mismatches: values that differ.
        shown: the first of them.
    """

    events: int
    features: int
    states: int
    mismatches: int
    shown: Sequence[Mismatch]


def served_parity(
    home: Path,
    features: FeatureSet,
    *,
    newest: int,
    regions: Sequence[str] = (),
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Parity:
    """Compare the newest decisions of the full rung in a home's history.

    Args:
        home: folder of all state; the history of every region that is a source has to be there.
        features: what was counted.
        newest: decisions to compare at most.
        regions: of the home; all of them by default.
        report: told the share done, 0 to 1, and what is being done.

    Raises:
        HistoryError: the history cannot be read, or has nothing to compare.
    """
    kept: dict[str, Position] = {}
    for folder in history_folders(home, regions):
        kept |= _kept(folder)
    with History(home, regions=regions) as history:
        report(0.0, "decisions")
        as_of = AsOf(history, features, newest=newest, kept=kept)
        if not as_of.events:
            raise HistoryError(
                f"the history in {home} has no decision of the full rung with the features "
                f"{features.name}, schema {features.schema}."
            )
        found = list(_differences(as_of, features, report))
    return Parity(
        events=as_of.events,
        features=len(features.features),
        states=len(features.entities),
        mismatches=sum(count for count, _ in found),
        shown=[one for _, shown in found for one in shown][:SHOWN_MAX],
    )


def same_numbers(served: Float32s, computed: Float64s) -> Bools:
    """Which numbers are the same: to the bit once rounded to float32, and NaN where NaN is.

    SQL may be off by one part in 1e9 before it is rounded.
    """
    with np.errstate(over="ignore"):
        one, other = (
            (computed * (1 + sign * RELATIVE_ERROR_MAX)).astype(np.float32) for sign in (-1, 1)
        )
    near = (np.minimum(one, other) <= served) & (served <= np.maximum(one, other))
    return np.asarray(near | (np.isnan(served) & np.isnan(computed)))


def _differences(
    as_of: AsOf, features: FeatureSet, report: Callable[[float, str], None]
) -> Iterator[tuple[int, list[Mismatch]]]:
    """For each input, how many values differ, and the first of them."""
    served = as_of.served()
    ids = served["decision_id"]
    numbers = _matrix(served["numbers"], len(features.features))
    states = _matrix(served["states"], len(features.entities))
    place = {feature.name: at for at, feature in enumerate(features.features)}
    for at, entity in enumerate(features.entities):
        report(at / len(features.entities), f"counters of {entity} in SQL")
        table = as_of.computed(entity)
        told = table["state"].to_numpy().astype(object)
        yield _differing(
            f"{entity}_counters_state", ids, states[:, at], told, states[:, at] == told
        )
        for column in table.column_names[1:]:
            name = column.removesuffix("_input")
            mine, computed = numbers[:, place[name]], table[column].to_numpy()
            yield _differing(name, ids, mine, computed, same_numbers(mine, computed))


def _differing(
    name: str, ids: pa.ChunkedArray, served: Values, computed: Values, same: Bools
) -> tuple[int, list[Mismatch]]:
    rows = np.flatnonzero(~same)
    first = rows[:SHOWN_MAX]
    values = zip(served[first].tolist(), computed[first].tolist(), strict=True)
    return len(rows), [
        Mismatch(decision_id=ids[row].as_py(), input=name, served=mine, computed=theirs)
        for row, (mine, theirs) in zip(first.tolist(), values, strict=True)
    ]


def _matrix(column: pa.ChunkedArray, width: int) -> Values:
    """A column of equally long lists, shape (rows, width)."""
    flat = column.combine_chunks().flatten()
    values: Values = flat.to_numpy(zero_copy_only=False)
    return values.reshape(-1, width)


def _kept(folder: Path) -> dict[str, Position]:
    """The last event in a region's history of each journal writer."""
    try:
        checkpoint = msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=Checkpoint)
    except (OSError, msgspec.MsgspecError) as error:
        raise HistoryError(f"{folder / CHECKPOINT} cannot be read: {error}.") from None
    return dict(checkpoint.positions)
