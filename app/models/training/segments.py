"""Parts of the attempts that a mean over all would hide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.features.spec import Entity, InputState
from app.models.training.history import History
from app.models.training.inputs import Table

__all__ = ["segments_of"]

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
        present = table.categories[table.rows(rows), column] == InputState.PRESENT.value
        segments[str(entity)] = {"known": present, "unknown": ~present}
    return segments
