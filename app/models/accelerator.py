"""A second evaluator of the same model: several times faster on a few rows, and watched.

CatBoost spends most of a small batch on making a pool of its rows. lignum reads the same `.cbm` and
walks the same trees from plain lists: of 200 trees, 4 us for one row and 1 us a row in batches of
32, where CatBoost takes 139 and 13. It is young, so it serves
only while it gives CatBoost's scores to the last bit:

* when a model is loaded, on its golden rows;
* in service, on one row of every `CHECKED_EVERY` batches.

At the first difference, or the first error, CatBoost takes over for good and it is said. Off by
default (`accelerator = "lignum"`); the package is an extra, `stepdown[accelerator]`.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CHECKED_EVERY", "Accelerator", "available"]

CHECKED_EVERY = 256

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
# Raw scores of rows by CatBoost.
Evaluate = Callable[[Float32s, Sequence[Sequence[bytes]]], Float64s]

log = logging.getLogger(__name__)


def available() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("lignum") is not None


class Accelerator:
    """Evaluates one model as long as it can be trusted."""

    def __init__(self, path: Path, reference: Evaluate) -> None:
        """Load a model.

        Args:
            path: of the `.cbm` file.
            reference: CatBoost's own evaluation of it.

        Raises:
            ImportError: the package is not installed.
            RuntimeError: it cannot read the model.
        """
        import lignum  # noqa: PLC0415 - an extra

        self.name = f"lignum {lignum.__version__}"
        self.trusted = True
        self._path = path
        self._model: Any = lignum.load(str(path), format="catboost")
        self._reference = reference
        self._batches = 0

    def raw(self, numbers: Float32s, categories: Sequence[Sequence[bytes]]) -> Float64s | None:
        """Raw scores of rows; None from the moment on that it is not trusted.

        Args:
            numbers: float32, shape (rows, numeric inputs).
            categories: category inputs of each row.
        """
        if not self.trusted:
            return None
        try:
            scores = self._evaluated(numbers, categories)
        except Exception:
            self.trusted = False
            log.exception("%s fails on %s; CatBoost takes over", self.name, self._path)
            return None
        self._batches += 1
        at = self._batches % len(scores)
        if self._batches % CHECKED_EVERY == 0 and not self.agrees(
            numbers[at : at + 1], categories[at : at + 1], scores[at : at + 1]
        ):
            return None
        return scores

    def agrees(
        self, numbers: Float32s, categories: Sequence[Sequence[bytes]], scores: Float64s
    ) -> bool:
        """Compare with CatBoost, bit for bit; what differs is not trusted again."""
        expected = self._reference(numbers, categories)
        self.trusted = bool(np.array_equal(scores, expected))
        if not self.trusted:
            log.error(
                "%s differs from CatBoost on %s, by %.3g; CatBoost takes over",
                self.name,
                self._path,
                np.abs(scores - expected).max(),
            )
        return self.trusted

    def _evaluated(self, numbers: Float32s, categories: Sequence[Sequence[bytes]]) -> Float64s:
        rows = [
            [*of_row, *(category.decode() for category in own)]
            for of_row, own in zip(numbers.tolist(), categories, strict=True)
        ]
        scores = self._model.predict(rows, raw_score=True, n_jobs=1, strategy="serial")
        return np.asarray(scores, dtype=np.float64)
