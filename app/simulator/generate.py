"""Make a simulation: the world, then day after day, into a folder of Parquet files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.simulator.arrays import DAY_MS, Ints, concat, take
from app.simulator.attempts import Attempts
from app.simulator.campaigns import PATTERNS
from app.simulator.config import SimulatorConfig
from app.simulator.details import draw_details
from app.simulator.fraud import fraudulent_attempts
from app.simulator.genuine import genuine_day
from app.simulator.labels import draw_labels
from app.simulator.rhythm import Rhythm, draw_rhythm
from app.simulator.tables import attempts_table, labels_table, merchants_table
from app.simulator.world import World, build_world

__all__ = ["GENERATOR_VERSION", "Summary", "simulate"]

# Grows with every change that gives other content for the same configuration.
GENERATOR_VERSION = 1

# Streams of randomness: each part has its own, so that a change in one leaves the others alone.
_WORLD, _RHYTHM, _FRAUD, _LABELS, _DAYS = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was made.

    Attributes:
        folder: where.
        attempts: all attempts.
        fraud: fraudulent attempts by pattern.
        labels: labels of them, those that arrive after the last day included.
        merchants: merchants in the directory.
    """

    folder: Path
    attempts: int
    fraud: dict[str, int]
    labels: int
    merchants: int

    @property
    def fraud_rate(self) -> float:
        """Share of fraudulent attempts."""
        return sum(self.fraud.values()) / self.attempts


def simulate(
    config: SimulatorConfig,
    folder: Path,
    *,
    progress: Callable[[float, str], None] | None = None,
) -> Summary:
    """Simulate payment attempts and write them, a day at a time.

    Writes `attempts/day=YYYY-MM-DD/part.parquet` (sorted by `received_at`), `labels.parquet`,
    `merchants.parquet` and, last, `manifest.json`: a folder with a manifest is complete. The same
    configuration gives the same content. Memory holds the world and one day.

    Args:
        config: what to simulate.
        folder: made where it does not exist; must not hold anything.
        progress: told the share done, 0 to 1, and what is being done.

    Raises:
        FileExistsError: the folder holds something already.
        OSError: a file cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: a simulation needs a folder of its own")
    report = progress or (lambda _share, _what: None)
    report(0.0, "world")
    world = build_world(np.random.default_rng([config.seed, _WORLD]), config)
    rhythm = draw_rhythm(np.random.default_rng([config.seed, _RHYTHM]), config)
    fraud = fraudulent_attempts(np.random.default_rng([config.seed, _FRAUD]), config, world)
    known = []
    total = 0
    for day in range(config.days):
        date = config.start + dt.timedelta(days=day)
        report(day / config.days, date.isoformat())
        attempts, table = _make_day(config, world, rhythm, fraud, day=day, first_row=total)
        _write(table, folder / "attempts" / f"day={date.isoformat()}" / "part.parquet")
        rows = np.flatnonzero(attempts.pattern > 0)
        known.append((rows + total, attempts.at_ms[rows], attempts.pattern[rows]))
        total += len(attempts.at_ms)
    report(1.0, "labels")
    row, at_ms, pattern = (np.concatenate(column) for column in zip(*known, strict=True))
    labels = draw_labels(np.random.default_rng([config.seed, _LABELS]), row, at_ms, pattern)
    _write(labels_table(config, labels), folder / "labels.parquet")
    _write(merchants_table(config, world), folder / "merchants.parquet")
    summary = Summary(
        folder=folder,
        attempts=total,
        fraud={
            name: int((pattern == position).sum())
            for position, name in enumerate(PATTERNS)
            if position > 0
        },
        labels=len(labels.attempt),
        merchants=len(world.merchants.category),
    )
    _write_manifest(config, summary)
    return summary


def _make_day(
    config: SimulatorConfig,
    world: World,
    rhythm: Rhythm,
    fraud: Attempts,
    *,
    day: int,
    first_row: int,
) -> tuple[Attempts, pa.Table]:
    """The attempts of one day, sorted; rows are numbered from `first_row`."""
    rng = np.random.default_rng([config.seed, _DAYS, day])
    midnight_ms = config.start_ms + day * DAY_MS
    season = bool(rhythm.season[day])
    genuine = genuine_day(
        rng,
        world,
        midnight_ms=midnight_ms,
        count=round(rhythm.share[day] * config.attempts * (1 - config.fraud_share)),
        season=season,
    )
    today = (fraud.at_ms >= midnight_ms) & (fraud.at_ms < midnight_ms + DAY_MS)
    attempts = concat([genuine, take(fraud, today)])
    order: Ints = np.argsort(attempts.at_ms, kind="stable")
    attempts = take(attempts, order)
    details = draw_details(rng, world, attempts, season=season)
    rows = np.arange(first_row, first_row + len(order))
    return attempts, attempts_table(config, world, attempts, details, rows)


def _write(table: pa.Table, path: Path) -> None:
    """Write one Parquet file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def _write_manifest(config: SimulatorConfig, summary: Summary) -> None:
    """Write what was asked for and what was made. Holds no time of making: same seed, same file."""
    manifest = {
        "generator_version": GENERATOR_VERSION,
        "seed": config.seed,
        "config": dataclasses.asdict(config)
        | {
            "start": config.start.isoformat(),
            "merchants": config.merchant_count,
            "customers": config.customer_count,
        },
        "counts": {
            "attempts": summary.attempts,
            "fraud": summary.fraud,
            "labels": summary.labels,
            "merchants": summary.merchants,
        },
    }
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (summary.folder / "manifest.json").write_text(text, encoding="utf-8")
