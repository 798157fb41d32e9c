"""The same history gives the same artifact: in another process, folder, time zone and file."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from app.models.training.history import load_history
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

ATTEMPTS = 25_000
TRAIN = "from app.cli import main; main()"
# Whatever is around the one process and not around the other.
SURROUNDINGS = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "OMP_NUM_THREADS": "1", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "3", "LC_ALL": "C.UTF-8"},
)
MAPPING = """
time: received_at
amount: {column: amount__value, currency: USD, unit: minor}
attempt_id: attempt_id
merchant.id: merchant__id
instrument.token: instrument__token
device.id: device__id
label: {column: fraud, delay_days: 3}
"""
COLUMNS = (
    "received_at",
    "amount__value",
    "attempt_id",
    "merchant__id",
    "instrument__token",
    "device__id",
    "fraud",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("same") / "data"
    simulate(SimulatorConfig(seed=11, attempts=ATTEMPTS), folder)
    return folder


def train(folder, surroundings, *words):
    """Train in a process of its own, from within a folder; what `--json` says."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, "train", "--json", *words],
        cwd=folder,
        env={**os.environ, **surroundings, "STEPDOWN_HOME": "home"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def trained_twice(tmp_path, *words):
    """What two trainings at once say, each with words and surroundings of its own."""
    folders = (tmp_path / "one", tmp_path / "deeper" / "two")
    with ThreadPoolExecutor(2) as pool:
        return pool.map(train, folders, SURROUNDINGS, *zip(*words, strict=True))


def facts_of(folder, said):
    path = folder / "home" / "registry" / "model" / "versions" / said["version"] / "artifact.json"
    return path.read_bytes()


def test_two_fresh_processes_make_the_same_artifact(data, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(data)
    one, two = trained_twice(tmp_path, ("--data", str(data)), ("--data", str(moved)))
    assert one["identity"] == two["identity"]
    assert one["rungs"] == two["rungs"]
    assert facts_of(tmp_path / "one", one) == facts_of(tmp_path / "deeper" / "two", two)
    assert one["rows"]["read"] == len(load_history(data))
    assert set(one["took_s"]) == {
        "read",
        "inputs",
        "fit_full",
        "fit_batch",
        "evaluate",
        "publish_model",
        "publish_rest",
    }


def test_the_same_rows_as_csv_and_as_parquet_make_the_same_artifact(data, tmp_path):
    table = pq.read_table(data / "attempts", partitioning=None).select(COLUMNS)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    pq.write_table(table, tmp_path / "rows.parquet")
    pacsv.write_csv(table, tmp_path / "rows.csv")
    words = [
        ("--mapping", str(tmp_path / "mapping.yaml"), "--data", str(tmp_path / name))
        for name in ("rows.parquet", "rows.csv")
    ]
    one, two = trained_twice(tmp_path, *words)
    assert one["identity"] == two["identity"]
    assert one["rungs"] == two["rungs"]
