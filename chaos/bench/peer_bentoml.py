"""The model alone behind BentoML. Runs in an environment of its own.

It imports nothing of the project; the current folder holds the model and the names of its inputs.
"""

from __future__ import annotations

import json
from pathlib import Path

import bentoml
from catboost import CatBoostClassifier

__all__ = ["Scorer"]

INPUTS = json.loads(Path("inputs.json").read_text(encoding="utf-8"))


@bentoml.service(workers=1)
class Scorer:
    """Scores attempts."""

    def __init__(self) -> None:
        self._model = CatBoostClassifier()
        self._model.load_model("full.cbm")

    @bentoml.api  # type: ignore[untyped-decorator]
    def score(self, numbers: dict[str, float], categories: dict[str, str]) -> float:
        """Probability of fraud of one attempt."""
        row = [
            *(numbers[name] for name in INPUTS["numbers"]),
            *(categories[name] for name in INPUTS["categories"]),
        ]
        return float(self._model.predict_proba([row], thread_count=1)[0][1])
