"""The model alone behind FastAPI and pydantic, as one writes it. Runs in an environment of its own.

It imports nothing of the project; the current folder holds the model and the names of its inputs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from catboost import CatBoostClassifier
from fastapi import FastAPI
from pydantic import BaseModel, create_model

__all__ = ["app"]

INPUTS = json.loads(Path("inputs.json").read_text(encoding="utf-8"))
ORDER = [*INPUTS["numbers"], *INPUTS["categories"]]
_fields: dict[str, Any] = {
    **dict.fromkeys(INPUTS["numbers"], (float, ...)),
    **dict.fromkeys(INPUTS["categories"], (str, ...)),
}
Attempt: Any = create_model("Attempt", **_fields)


class Score(BaseModel):
    """The answer."""

    probability: float


model = CatBoostClassifier()
model.load_model("full.cbm")
app = FastAPI()


@app.post("/score")
async def score(attempt: Attempt) -> Score:
    """Score one attempt."""
    row = [getattr(attempt, name) for name in ORDER]
    return Score(probability=float(model.predict_proba([row], thread_count=1)[0][1]))
