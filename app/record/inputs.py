"""The inputs of a recorded decision, by name."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import numpy as np

from app.features.sets import inputs_as_recorded
from app.features.spec import Inputs
from app.record.decision import DecisionRecord

__all__ = ["recorded_inputs"]


def recorded_inputs(
    record: DecisionRecord,
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Numbers and categories as scored, by name; None for what had no value.

    They go by their places where another release's list of inputs was used.
    """
    numbers = [None if isnan(n) else n for n in np.frombuffer(record.numbers, "<f4").tolist()]
    categories = [category.decode("utf-8", "replace") for category in record.categories]
    inputs = inputs_as_recorded(record.versions.get("features"), record.rung) or Inputs(
        _numbered("number", numbers), _numbered("category", categories)
    )
    # A rung below the models may have made a row, or none at all.
    return (
        dict(zip(inputs.numbers, numbers, strict=False)),
        dict(zip(inputs.categories, categories, strict=False)),
    )


def _numbered(what: str, values: Sequence[object]) -> tuple[str, ...]:
    return tuple(f"{what} {at}" for at in range(1, len(values) + 1))
