"""From counters to numeric inputs: one arithmetic for serving, training and the snapshot.

All in float64, rounded to float32 once at the end. A feature of counters that are not known is
NaN; the state of the entity, a category of its own, says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.features import kernel
from app.features.rings import Float64s, Int64s
from app.features.spec import Counter, Feature, Formula

__all__ = ["PRIOR_ATTEMPTS", "PRIOR_RATE", "Formulas"]

Float32s = npt.NDArray[np.float32]

# The fraud rate of an entity without history, and how many attempts that is worth.
PRIOR_RATE = 0.004
PRIOR_ATTEMPTS = 100.0
# With fewer there is no deviation to speak of; a card that always pays the same has one of 5 %.
DEVIATION_COUNT_MIN = 2.0


class Formulas:
    """The features of one kind, computed for many rows in as few numpy calls as formulas."""

    def __init__(self, features: Sequence[Feature], counters: Sequence[Counter]) -> None:
        """Compile the features.

        Args:
            features: in the order of the inputs.
            counters: in the order of the columns they are computed from.
        """
        self._width = len(features)
        place = {counter.name: at for at, counter in enumerate(counters)}
        self._plan = kernel.features_plan(features, place)
        self._groups = [
            (
                formula,
                np.array([at for at, f in enumerate(features) if f.formula is formula]),
                np.array(
                    [[place[n] for n in f.counters] for f in features if f.formula is formula]
                ).T,
            )
            for formula in dict.fromkeys(feature.formula for feature in features)
        ]

    def inputs(self, values: Float64s, *, amount: Float64s, now_ms: Int64s) -> Float32s:
        """Inputs of rows.

        Args:
            values: counters, shape (rows, counters); NaN where they are not known, 0 in a counter
                of kind "last" where nothing was seen.
            amount: of the attempts, reference minor units, NaN where not known, shape (rows,).
            now_ms: as of when, ms since the epoch, shape (rows,).

        Returns:
            Shape (rows, features).
        """
        if kernel.BUILT:
            result = np.empty((len(values), self._width), dtype=np.float32)
            kernel.compute(
                self._plan,
                np.ascontiguousarray(values, dtype=np.float64),
                amount=np.ascontiguousarray(amount, dtype=np.float64),
                now_ms=np.ascontiguousarray(now_ms, dtype=np.int64),
                priors=(PRIOR_RATE, PRIOR_ATTEMPTS, DEVIATION_COUNT_MIN),
                result=result,
            )
            return result
        return self._by_numpy(values, amount=amount, now_ms=now_ms)

    def _by_numpy(self, values: Float64s, *, amount: Float64s, now_ms: Int64s) -> Float32s:
        """The same without the kernel."""
        result = np.empty((len(values), self._width), dtype=np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            for formula, where, of in self._groups:
                columns = [values[:, one] for one in of]
                result[:, where] = _computed(formula, columns, amount[:, None], now_ms[:, None])
        return result


def _computed(
    formula: Formula, of: Sequence[Float64s], amount: Float64s, now_ms: Int64s
) -> Float64s:
    match formula:
        case Formula.VALUE:
            return of[0]
        case Formula.MEAN:
            return of[0] / np.where(of[1] > 0, of[1], np.nan)
        case Formula.RATIO:
            mean = of[0] / np.where(of[1] > 0, of[1], np.nan)
            return np.asarray(amount / np.where(mean > 0, mean, np.nan))
        case Formula.DEVIATION:
            count = np.where(of[1] >= DEVIATION_COUNT_MIN, of[1], np.nan)
            mean = of[0] / count
            # The difference of two large numbers may come out as a little less than nothing.
            variance = np.maximum(of[2] / count - mean * mean, 0.0)
            spread = np.maximum(np.sqrt(variance), mean / 20)
            return np.asarray((amount - mean) / np.where(spread > 0, spread, np.nan))
        case Formula.RATE:
            return (of[0] + PRIOR_RATE * PRIOR_ATTEMPTS) / (of[1] + PRIOR_ATTEMPTS)
        case Formula.SINCE:
            return np.asarray((now_ms - np.where(of[0] > 0, of[0], np.nan)) / 1_000)
