"""The peers that models are compared with, in an environment of their own.

XGBoost and LightGBM are no dependencies of the project: they are installed beside it, from a hashed
lock of their own, when they are first asked for, and `chaos.bench.cold_start_worker` runs there.
Arrays go over as files.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import OperatorError
from app.models.training.fitting import Columns, Lesson
from chaos.bench.environment import REQUIREMENTS, ensure_environment, last_line

__all__ = ["PEERS", "Peers", "Said", "ensure_peers"]

PEERS = ("xgboost", "lightgbm")
LOCK = REQUIREMENTS / "peers.lock"
WORKER = Path(__file__).with_name("cold_start_worker.py")
# On a busy machine, threads that wait must not spin: they would keep the others from working.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a peer says.

    Attributes:
        scores: log odds of the test rows, shape (rows,).
        facts: version, the combination that was chosen and all that were tried.
    """

    scores: npt.NDArray[np.float64]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Peers:
    """An environment with the peers in it."""

    python: Path

    def fit(
        self,
        folder: Path,
        *,
        lesson: Lesson,
        held: tuple[Columns, npt.NDArray[np.bool_]],
        test: Columns,
        settings: Mapping[str, Any],
        report: Report,
    ) -> dict[str, Said]:
        """Fit all peers on the rows that CatBoost was fitted on.

        Args:
            folder: empty, for arrays on their way.
            lesson: to fit on.
            held: to choose settings by: inputs and known fraud.
            test: to score.
            settings: `trees`, `depth`, `seed`, `threads`, and `chosen`, settings by peer or none.
            report: told the share done and what is being done.

        Raises:
            OperatorError: a peer failed.
        """
        vocabulary = [np.unique(column) for column in lesson.columns[1].T]
        for part, (numbers, categories) in (
            ("fit", lesson.columns),
            ("calibrate", held[0]),
            ("test", test),
        ):
            np.save(folder / f"{part}_numbers.npy", numbers)
            np.save(folder / f"{part}_codes.npy", _codes(categories, vocabulary))
        np.save(folder / "fit_label.npy", lesson.label)
        np.save(folder / "fit_weight.npy", lesson.weight)
        np.save(folder / "calibrate_label.npy", held[1])
        (folder / "task.json").write_text(json.dumps(dict(settings)), encoding="utf-8")
        self._work(folder, report)
        return {
            peer: Said(
                scores=np.load(folder / f"{peer}.npy"),
                facts=json.loads((folder / f"{peer}.json").read_text(encoding="utf-8")),
            )
            for peer in PEERS
        }

    def _work(self, folder: Path, report: Report) -> None:
        errors = folder / "errors.txt"
        with (
            errors.open("w") as stderr,
            subprocess.Popen(  # noqa: S603 - our own script in an environment that we made
                [self.python, "-I", WORKER, folder],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=ENVIRONMENT,
            ) as worker,
        ):
            assert worker.stdout is not None
            for line in worker.stdout:
                done, _, what = line.strip().partition(" ")
                report(float(done), what)
        if worker.returncode:
            raise OperatorError(f"a peer failed: {last_line(errors.read_text())}")


def ensure_peers(folder: Path, report: Callable[[str], None], *, lock: Path = LOCK) -> Peers:
    """Make the peers' environment, once for each content of their lock.

    Args:
        folder: of the environment.
        report: told what is being done.
        lock: hashed requirements.

    Raises:
        OperatorError: it cannot be made.
    """
    return Peers(ensure_environment(folder, "XGBoost and LightGBM", report, lock))


def _codes(
    categories: npt.NDArray[np.object_], vocabulary: list[npt.NDArray[np.object_]]
) -> npt.NDArray[np.int32]:
    """Categories as numbers, -1 for one that is not in the vocabulary, shape as given."""
    codes = np.full(categories.shape, -1, dtype=np.int32)
    for at, words in enumerate(vocabulary):
        place = np.searchsorted(words, categories[:, at])
        near = np.minimum(place, len(words) - 1)
        known = words[near] == categories[:, at]
        codes[:, at] = np.where(known, near, -1)
    return codes
