"""Make a simulation: the world, then day after day, into a folder of Parquet files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.simulator.arrays import DAY_MS, Ints, concat, take
from app.simulator.attempts import Attempts
from app.simulator.campaigns import PATTERNS
from app.simulator.checks import draw_checks
from app.simulator.config import SimulatorConfig
from app.simulator.details import draw_details
from app.simulator.fraud import fraudulent_attempts
from app.simulator.friendly import with_friendly_fraud
from app.simulator.genuine import genuine_day
from app.simulator.labels import Settled, draw_labels
from app.simulator.manifest import Summary, labels_by_age, write_manifest
from app.simulator.outcomes import OUTCOME_KINDS, Outcomes, draw_outcomes
from app.simulator.rhythm import Rhythm, draw_rhythm
from app.simulator.tables import attempts_table
from app.simulator.tables_beside import labels_table, merchants_table, outcomes_table
from app.simulator.world import World, build_world

__all__ = ["simulate"]

# Streams of randomness: each part has its own, so that a change in one leaves the others alone.
_WORLD, _RHYTHM, _FRAUD, _LABELS, _DAYS = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """What was made of one day."""

    settled: Settled
    attempts: pa.Table
    outcomes: Outcomes


def simulate(
    config: SimulatorConfig,
    folder: Path,
    *,
    progress: Callable[[float, str], None] | None = None,
) -> Summary:
    """Simulate payment attempts and write them, a day at a time.

    Writes `attempts/day=YYYY-MM-DD/part.parquet` (sorted by `received_at`), `outcomes.parquet` (a
    row group for each day of attempts, sorted by `received_at` within), `labels.parquet`,
    `merchants.parquet` and, last, `manifest.json`: a folder with a manifest is complete. The same
    configuration gives the same content. Memory holds the world, one day, and 25 bytes an attempt.

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
    settled, kinds = _write_days(config, world, folder, report)
    report(1.0, "labels")
    labels = draw_labels(np.random.default_rng([config.seed, _LABELS]), settled)
    _write(labels_table(config, labels, settled), folder / "labels.parquet")
    _write(merchants_table(config, world), folder / "merchants.parquet")
    summary = Summary(
        folder=folder,
        attempts=len(settled.at_ms),
        fraud={
            name: int((settled.pattern == position).sum())
            for position, name in enumerate(PATTERNS)
            if position > 0
        },
        labels=len(labels.attempt),
        outcomes=dict(zip(OUTCOME_KINDS, kinds.tolist(), strict=True)),
        merchants=len(world.merchants.category),
    )
    write_manifest(config, summary, labels_by_age(labels, settled))
    return summary


def _write_days(
    config: SimulatorConfig, world: World, folder: Path, report: Callable[[float, str], None]
) -> tuple[Settled, Ints]:
    """Make and write the attempts and outcomes of all days; count the outcomes by kind."""
    rhythm = draw_rhythm(np.random.default_rng([config.seed, _RHYTHM]), config)
    fraud = fraudulent_attempts(np.random.default_rng([config.seed, _FRAUD]), config, world)
    folder.mkdir(parents=True, exist_ok=True)
    settled: list[Settled] = []
    kinds = np.zeros(len(OUTCOME_KINDS), dtype=np.int64)
    total, writer = 0, None
    for number in range(config.days):
        date = config.start + dt.timedelta(days=number)
        report(number / config.days, date.isoformat())
        day = _make_day(config, world, rhythm, fraud, day=number, first_row=total)
        _write(day.attempts, folder / "attempts" / f"day={date.isoformat()}" / "part.parquet")
        table = outcomes_table(config, day.outcomes, first_row=total)
        if writer is None:
            path = folder / "outcomes.parquet"
            writer = pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        kinds += np.bincount(day.outcomes.kind, minlength=len(kinds))
        settled.append(day.settled)
        total += len(day.settled.at_ms)
    assert writer is not None
    writer.close()
    return concat(settled), kinds


def _make_day(
    config: SimulatorConfig,
    world: World,
    rhythm: Rhythm,
    fraud: Attempts,
    *,
    day: int,
    first_row: int,
) -> _Day:
    """The attempts of one day, sorted; rows are numbered from `first_row`."""
    rng = np.random.default_rng([config.seed, _DAYS, day])
    midnight_ms = config.start_ms + day * DAY_MS
    season = bool(rhythm.season[day])
    wanted = rhythm.share[day] * config.attempts
    genuine = genuine_day(
        rng,
        world,
        midnight_ms=midnight_ms,
        count=round(wanted * (1 - config.fraud_share)),
        season=season,
    )
    today = (fraud.at_ms >= midnight_ms) & (fraud.at_ms < midnight_ms + DAY_MS)
    attempts = concat([genuine, take(fraud, today)])
    order: Ints = np.argsort(attempts.at_ms, kind="stable")
    attempts = take(attempts, order)
    details = draw_details(rng, world, attempts, season=season)
    checks = draw_checks(rng, world, attempts, details)
    outcomes, declined, captured = draw_outcomes(rng, attempts, details, checks)
    friendly = wanted * config.fraud_share * config.patterns.friendly_fraud
    attempts = with_friendly_fraud(rng, world, attempts, captured, expected=friendly)
    rows = np.arange(first_row, first_row + len(order))
    return _Day(
        settled=Settled(
            at_ms=attempts.at_ms,
            pattern=attempts.pattern.astype(np.int8),
            brand=world.bins.brand[world.card_bin[attempts.card]].astype(np.int8),
            declined=declined,
        ),
        attempts=attempts_table(config, world, attempts, details=details, checks=checks, rows=rows),
        outcomes=outcomes,
    )


def _write(table: pa.Table, path: Path) -> None:
    """Write one Parquet file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
