"""The feature sets of this release, by name."""

from __future__ import annotations

from app.features.reference import REFERENCE
from app.features.spec import FeatureSet, Inputs
from app.features.wide import WIDE

__all__ = ["FEATURE_SETS", "feature_set", "inputs_as_recorded"]

FEATURE_SETS: dict[str, FeatureSet] = {one.name: one for one in (REFERENCE, WIDE)}


def feature_set(name: str) -> FeatureSet:
    """A set by its name; `KeyError` for one that this release does not have."""
    return FEATURE_SETS[name]


def inputs_as_recorded(schema: str | None, rung: str) -> Inputs | None:
    """The names of a decision's inputs; None where another release's list was used.

    Args:
        schema: as recorded with the decision.
        rung: that answered.
    """
    for features in FEATURE_SETS.values():
        if str(features.schema) == schema:
            return features.full_inputs if rung == "full" else features.batch_inputs
    return None
