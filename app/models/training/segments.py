"""Parts of the attempts that a mean over all would hide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.rings import Int64s
from app.features.spec import Entity, InputState
from app.models.training.history import History, ids_of
from app.models.training.inputs import Table

__all__ = ["cold_of", "patterns_of", "segments_of"]

# What `cold_of` asks for separately; one that is new in any of them is "any".
COLD = (Entity.MERCHANT, Entity.DEVICE, Entity.BIN)

Bools = npt.NDArray[np.bool_]

# Upper ends of the amount bands, reference minor units.
BANDS = (2_000, 10_000)


def segments_of(history: History, table: Table, rows: Int64s) -> Mapping[str, Mapping[str, Bools]]:
    """Masks by kind of segment and name, each of shape (rows,).

    A card or merchant is known when its counters held something at the attempt.
    """
    band = np.searchsorted(BANDS, history.amount_ref[rows])
    names = (f"up to {BANDS[0]}", f"{BANDS[0]} to {BANDS[1]}", f"over {BANDS[1]}")
    segments: dict[str, Mapping[str, Bools]] = {
        "amount": {name: band == at for at, name in enumerate(names)}
    }
    for entity in (Entity.CARD, Entity.MERCHANT):
        column = table.features.categories.index(f"{entity}_counters_state")
        present = table.categories[rows, column] == InputState.PRESENT.value
        segments[str(entity)] = {"known": present, "unknown": ~present}
    return segments


def patterns_of(history: History, rows: Int64s) -> Mapping[str, Bools]:
    """Masks of the fraud by its pattern, each of shape (rows,); none where the data do not say."""
    if "fraud_pattern" not in history.attempts.column_names:
        return {}
    pattern = history.attempts["fraud_pattern"].combine_chunks().take(pa.array(rows))
    names = [name for name in pattern.unique().to_pylist() if name is not None]
    return {
        name: pc.equal(pattern, name).fill_null(False).to_numpy(zero_copy_only=False)
        for name in sorted(names)
    }


def cold_of(history: History, known: Int64s, rows: Int64s) -> Mapping[str, Bools]:
    """Masks of attempts whose id was in none of the known ones, each of shape (rows,).

    Args:
        history: all attempts.
        known: rows of the training period.
        rows: to look at.

    Returns:
        By entity, and `any` (merchant, device or BIN). An attempt without the id is not among them.
        Cards, which the public set calls customers, stand for themselves.
    """
    cold = {}
    for entity in (*COLD, Entity.CARD):
        code = ids_of(history, entity).code
        cold[str(entity)] = (code[rows] >= 0) & ~np.isin(code[rows], code[known])
    return {**cold, "any": np.logical_or.reduce([cold[str(entity)] for entity in COLD])}
