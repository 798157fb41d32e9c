"""Means of what `assess` says of several models or samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.models.training.assess import interval

__all__ = ["Assessed", "mean_of"]

Assessed = tuple[dict[str, Any], npt.NDArray[np.float64]]


def mean_of(by_sample: Sequence[Sequence[Assessed]]) -> dict[str, Any]:
    """Means over samples, and over the models that were measured on each.

    The draws of days are the same for every model on a sample, so models are averaged before the
    bounds are taken.

    Args:
        by_sample: of each sample what `assess` gave for each model.
    """
    first = by_sample[0][0][0]
    names = [name for name, value in first.items() if isinstance(value, float)]
    means = {
        name: float(np.mean([[said[name] for said, _ in models] for models in by_sample]))
        for name in names
    }
    draws = [np.mean([of for _, of in models], axis=0) for models in by_sample]
    every = [said for models in by_sample for said, _ in models]
    calibrated = first["calibration"] is not None
    costs = [name for name in first["cost"] if name.endswith("_minor")]
    return {
        **means,
        "intervals": interval(draws),
        "calibration": {
            name: float(np.mean([said["calibration"][name] for said in every]))
            for name in ("ece", "brier")
        }
        if calibrated
        else None,
        "approve_all": {
            name: float(np.mean([said["approve_all"][name] for said in every]))
            for name in first["approve_all"]
        },
        "cost": {name: float(np.mean([said["cost"][name] for said in every])) for name in costs},
        "segments": _segments(every),
    }


def _segments(
    every: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean of each figure of a segment over what has one; None where nothing has."""
    means: dict[str, dict[str, dict[str, float | None]]] = {}
    for kind, masks in every[0]["segments"].items():
        means[kind] = {}
        for name in masks:
            parts = [said["segments"][kind][name] for said in every]
            means[kind][name] = {
                figure: _mean([part[figure] for part in parts if part[figure] is not None])
                for figure in parts[0]
            }
    return means


def _mean(known: Sequence[float]) -> float | None:
    return float(np.mean(known)) if known else None
