"""What the load sends: attempts of the simulated history, of which it is known what is fraud.

Fraud is sent more often than it happens, three attempts in a hundred, so that a hold of a few
thousand attempts tells something about it; every figure made of it is a share within its class,
which that leaves as it is. Attempts are drawn at random over the last days: a card whose attempts
all come at once would be a velocity attack of the drill's own making.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from app.registry import Registry
from app.samples import load_samples
from chaos.engine.wire import Body

__all__ = ["ensure_bodies", "read_bodies"]

ROWS = 20_000
FRAUD_SHARE = 0.03
DAYS = 30
FILE = "bodies.jsonl"


def ensure_bodies(home: Path, *, seed: int) -> Path:
    """The file of bodies of a home; made once for each seed.

    Args:
        home: folder of the service's state.
        seed: of the draw.

    Raises:
        OperatorError: there is neither a history nor a sample.
    """
    path = home / "drills" / f"{seed}-{FILE}"
    if path.exists():
        return path
    data = Registry(home).data
    bodies = _of_history(data, seed) if data.exists() else _of_samples(home)
    lines = [msgspec.json.encode(body) for body in bodies]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(b"\n".join(lines) + b"\n")
    fresh.rename(path)
    return path


def read_bodies(path: Path) -> list[Body]:
    """The bodies of a file, in order: an outcome's row counts them."""
    return [msgspec.json.decode(line, type=Body) for line in path.read_bytes().splitlines()]


def _of_history(data: Path, seed: int) -> list[Body]:
    # Reading Parquet takes a second to import; no other command of drills needs it.
    from app.models.training.mapped import read_history  # noqa: PLC0415

    history = read_history(data)
    rng = np.random.default_rng(seed)
    recent = history.day > history.day[-1] - DAYS
    fraud = _drawn(rng, np.flatnonzero(recent & history.fraud), round(ROWS * FRAUD_SHARE))
    good = _drawn(rng, np.flatnonzero(recent & ~history.fraud), ROWS - len(fraud))
    taken = history.take(rng.permutation(np.concatenate([fraud, good])))
    truth = zip(taken.documents(), taken.fraud.tolist(), taken.amount_ref.tolist(), strict=True)
    return [Body(attempt=document, fraud=fraud, ref=ref) for document, fraud, ref in truth]


def _of_samples(home: Path) -> list[Body]:
    """A home without its history has samples, of which nobody knows what they are."""
    return [Body(attempt=one.body, fraud=None, ref=0) for one in load_samples(home)]


def _drawn(
    rng: np.random.Generator, rows: np.ndarray[tuple[int], np.dtype[np.intp]], number: int
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return rng.choice(rows, size=min(number, len(rows)), replace=False)
