"""Fits XGBoost and LightGBM, in an environment of their own.

    python -I cold_start_worker.py FOLDER

It imports nothing of the project. FOLDER holds arrays, see `chaos.bench.cold_start_peers`; written
back are `<peer>.npy`, the log odds of the test rows, and `<peer>.json`, how they were come by. Each
line on standard output is a share done and what is being done.

Nobody shall say that the peers were held back. Each is fitted with every combination of a small
grid, with at most as many trees and as deep ones as CatBoost has, stopped where average precision
on the calibration days is best, and the combination that is best there is taken. Categories are
tried natively and one-hot.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightgbm
import numpy as np
import numpy.typing as npt
import xgboost

__all__ = ["main"]

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

PATIENCE = 60
RATES = (0.03, 0.1)
# Least weight of a leaf: hessian with XGBoost, rows with LightGBM.
LEAST = {"xgboost": (1.0, 5.0), "lightgbm": (20, 100)}
ENCODINGS = ("native", "one_hot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be fitted, as the arrays of a folder.

    Attributes:
        numbers: by part (fit, calibrate, test), shape (rows, numbers).
        codes: by part, categories as numbers, -1 where fitting has not seen one.
        label: by part (fit, calibrate).
        weight: of the rows to fit on.
        trees: at most.
        depth: of a tree.
        seed: of sampling.
        threads: to use.
        chosen: a combination for each peer that was chosen before, instead of the grid.
    """

    numbers: Mapping[str, Floats]
    codes: Mapping[str, npt.NDArray[np.int32]]
    label: Mapping[str, Bools]
    weight: npt.NDArray[np.float64]
    trees: int
    depth: int
    seed: int
    threads: int
    chosen: Mapping[str, Any]

    def matrix(self, part: str, encoding: str) -> Floats:
        """Inputs with the categories behind: as codes, NaN where unknown, or one column each."""
        codes = self.codes[part]
        if encoding == "native":
            behind = np.where(codes >= 0, codes, np.nan)
        else:
            kinds = self.codes["fit"].max(axis=0) + 1
            behind = np.concatenate(
                [codes[:, [at]] == np.arange(kinds[at]) for at in range(codes.shape[1])], axis=1
            )
        return np.concatenate([self.numbers[part], behind.astype(np.float32)], axis=1)


@dataclass(frozen=True, slots=True)
class Scores:
    """Log odds, and where boosting stopped."""

    calibrate: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]
    trees: int


class Fit(Protocol):
    """Fits a peer with one combination."""

    def __call__(self, task: Task, encoding: str, rate: float, least: float) -> Scores:
        """Fit, and score the calibration and test rows."""


def fit_xgboost(task: Task, encoding: str, rate: float, least: float) -> Scores:
    """XGBoost: histogram trees; native categories by `enable_categorical`."""
    numbers, categories = task.numbers["fit"].shape[1], task.codes["fit"].shape[1]
    kinds = ["q"] * numbers + ["c"] * categories if encoding == "native" else None

    def matrix(part: str, **more: Any) -> xgboost.DMatrix:
        inputs = task.matrix(part, encoding)
        return xgboost.DMatrix(
            inputs, feature_types=kinds, enable_categorical=encoding == "native", **more
        )

    parts = {
        "fit": matrix("fit", label=task.label["fit"], weight=task.weight),
        "calibrate": matrix("calibrate", label=task.label["calibrate"]),
    }
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "eval_metric": "aucpr",
            "tree_method": "hist",
            "max_depth": task.depth,
            "learning_rate": rate,
            "min_child_weight": least,
            "seed": task.seed,
            "nthread": task.threads,
        },
        parts["fit"],
        num_boost_round=task.trees,
        evals=[(parts["calibrate"], "calibrate")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    trees = booster.best_iteration + 1

    def score(rows: xgboost.DMatrix) -> npt.NDArray[np.float64]:
        margin = booster.predict(rows, output_margin=True, iteration_range=(0, trees))
        return np.asarray(margin, dtype=np.float64)

    return Scores(score(parts["calibrate"]), score(matrix("test")), trees)


def fit_lightgbm(task: Task, encoding: str, rate: float, least: float) -> Scores:
    """LightGBM: as many leaves as a tree of the depth can have; native `categorical_feature`."""
    numbers, categories = task.numbers["fit"].shape[1], task.codes["fit"].shape[1]
    native = list(range(numbers, numbers + categories)) if encoding == "native" else []
    fit = lightgbm.Dataset(
        task.matrix("fit", encoding),
        task.label["fit"].astype(np.int8),
        weight=task.weight,
        categorical_feature=native,
        params={"verbosity": -1},
    )
    held = task.matrix("calibrate", encoding)
    calibrate = lightgbm.Dataset(held, task.label["calibrate"].astype(np.int8), reference=fit)
    booster = lightgbm.train(
        {
            "objective": "binary",
            "metric": "average_precision",
            "max_depth": task.depth,
            "num_leaves": 2**task.depth,
            "learning_rate": rate,
            "min_data_in_leaf": int(least),
            "seed": task.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": task.threads,
            "verbosity": -1,
        },
        fit,
        num_boost_round=task.trees,
        valid_sets=[calibrate],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )

    def score(inputs: Floats) -> npt.NDArray[np.float64]:
        raw = booster.predict(inputs, raw_score=True, num_iteration=booster.best_iteration)
        return np.asarray(raw, dtype=np.float64)

    return Scores(score(held), score(task.matrix("test", encoding)), booster.best_iteration)


def average_precision(scores: npt.NDArray[np.float64], fraud: Bools) -> float:
    """Area below precision over recall, by steps; equal scores stand or fall together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order]) != 0), len(order) - 1)
    found = np.cumsum(fraud[order])[ends]
    gained = np.diff(found / found[-1], prepend=0.0)
    return float(np.sum(gained * found / (ends + 1)))


PEERS: Mapping[str, Fit] = {"xgboost": fit_xgboost, "lightgbm": fit_lightgbm}
VERSIONS = {"xgboost": xgboost.__version__, "lightgbm": lightgbm.__version__}


def main(folder: Path) -> None:
    """Fit both peers and write what they say of the test rows."""
    task = _load(folder)
    for number, (peer, fit) in enumerate(PEERS.items()):
        grid = [task.chosen[peer]] if peer in task.chosen else _grid(peer)
        tried: list[tuple[float, dict[str, Any], Scores]] = []
        for at, combination in enumerate(grid):
            share = (number + at / len(grid)) / len(PEERS)
            sys.stdout.write(f"{share:.3f} {peer}, {at + 1} of {len(grid)}\n")
            sys.stdout.flush()
            started_s = time.monotonic()
            scores = fit(task, **combination)
            worth = average_precision(scores.calibrate, task.label["calibrate"])
            facts = {
                **combination,
                "trees": scores.trees,
                "calibration_average_precision": worth,
                "took_s": round(time.monotonic() - started_s, 1),
            }
            tried.append((worth, facts, scores))
        best = max(tried, key=lambda one: one[0])
        np.save(folder / f"{peer}.npy", best[2].test)
        said = {"version": VERSIONS[peer], "chosen": best[1], "tried": [of for _, of, _ in tried]}
        (folder / f"{peer}.json").write_text(json.dumps(said), encoding="utf-8")


def _grid(peer: str) -> list[dict[str, Any]]:
    return [
        {"encoding": encoding, "rate": rate, "least": least}
        for encoding, rate, least in itertools.product(ENCODINGS, RATES, LEAST[peer])
    ]


def _load(folder: Path) -> Task:
    parts = ("fit", "calibrate", "test")
    return Task(
        numbers={part: np.load(folder / f"{part}_numbers.npy") for part in parts},
        codes={part: np.load(folder / f"{part}_codes.npy") for part in parts},
        label={part: np.load(folder / f"{part}_label.npy") for part in parts[:2]},
        weight=np.load(folder / "fit_weight.npy"),
        **json.loads((folder / "task.json").read_text(encoding="utf-8")),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
