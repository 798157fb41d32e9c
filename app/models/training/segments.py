"""Parts of the attempts that a mean over all would hide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.features.spec import Entity, InputState
from app.models.training.history import History, ids_of
from app.models.training.inputs import Table

__all__ = ["PATTERN", "caught_in", "cold_of", "patterns_of", "segments_of"]

# What `cold_of` asks for separately; one that is new in any of them is "any".
COLD = (Entity.MERCHANT, Entity.DEVICE, Entity.BIN)

Bools = npt.NDArray[np.bool_]

# The kind of segment that holds fraud only.
PATTERN = "pattern"
# Upper ends of the amount bands, reference minor units.
BANDS = (2_000, 10_000)


def segments_of(history: History, table: Table, rows: Int64s) -> Mapping[str, Mapping[str, Bools]]:
    """Masks by kind of segment and name, each of shape (rows,).

    A card or merchant is known when its counters held something at the attempt. A pattern holds
    fraud only, so there is recall in it and no ranking.
    """
    band = np.searchsorted(BANDS, history.amount_ref[rows])
    names = (f"up to {BANDS[0]}", f"{BANDS[0]} to {BANDS[1]}", f"over {BANDS[1]}")
    segments: dict[str, Mapping[str, Bools]] = {
        "amount": {name: band == at for at, name in enumerate(names)}
    }
    for entity in (Entity.CARD, Entity.MERCHANT):
        column = table.features.categories.index(f"{entity}_counters_state")
        present = table.categories[table.rows(rows), column] == InputState.PRESENT.value
        segments[str(entity)] = {"known": present, "unknown": ~present}
    of, fraud = patterns_of(history), history.fraud
    if names_of := sorted({str(name) for name in of[fraud] if name is not None}):
        segments[PATTERN] = {name: (of[rows] == name) & fraud[rows] for name in names_of}
    return segments


def caught_in(segment: Mapping[str, Any]) -> str:
    """For people: a pattern's recall by the rung's actions, and among alerts at precision 20 %."""
    found = (segment.get(name) for name in ("recall", "recall_at_precision_20"))
    return ", ".join("-" if one is None else f"{one:.3f}" for one in found)


def patterns_of(history: History) -> npt.NDArray[np.object_]:
    """What kind of fraud each attempt is, None where nobody says; a simulation does."""
    if "fraud_pattern" not in history.attempts.column_names:
        return np.full(len(history), None, dtype=object)
    return np.array(history.attempts["fraud_pattern"].to_pylist(), dtype=object)


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
