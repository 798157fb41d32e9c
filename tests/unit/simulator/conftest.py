from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.simulator.config import SimulatorConfig
from app.simulator.generate import Summary, simulate

# More fraud than is usual, so that few attempts hold campaigns of every pattern.
CONFIG = SimulatorConfig(seed=11, attempts=30_000, fraud_share=0.02, new_pattern_from=41)


def read_attempts(folder: Path) -> pa.Table:
    """All days, in order of the files' names."""
    days = sorted((folder / "attempts").glob("day=*/part.parquet"))
    return pa.concat_tables([pq.read_table(day, partitioning=None) for day in days])


@pytest.fixture(scope="session")
def config() -> SimulatorConfig:
    return CONFIG


@pytest.fixture(scope="session")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return simulate(CONFIG, tmp_path_factory.mktemp("simulation"))


@pytest.fixture(scope="session")
def attempts(summary: Summary) -> pa.Table:
    return read_attempts(summary.folder)


@pytest.fixture(scope="session")
def labels(summary: Summary) -> pa.Table:
    return pq.read_table(summary.folder / "labels.parquet")


@pytest.fixture(scope="session")
def outcomes(summary: Summary) -> pa.Table:
    return pq.read_table(summary.folder / "outcomes.parquet")


@pytest.fixture(scope="session")
def merchants(summary: Summary) -> pa.Table:
    return pq.read_table(summary.folder / "merchants.parquet")
