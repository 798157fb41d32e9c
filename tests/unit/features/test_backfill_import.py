"""A training history as rows of history."""

from __future__ import annotations

import fcntl
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.features.directory import MerchantEntry
from app.features.packed import distinct_bit
from app.features.spec import DAY_MS, Entity
from app.history.columns import TABLES, arrow_schema
from app.history.files import HistoryError, HistoryFiles
from app.history.imported import IMPORT_WRITER, Imported, import_history
from app.ids import DecisionPlace, locate
from app.models.training.history import ID_COLUMNS, NEVER_MS, History

START_MS = 1_767_225_600_000  # 2026-01-01
ROWS = 90
STEP_MS = DAY_MS // 30


@pytest.fixture
def history():
    """Three days of attempts, every tenth a fraud labelled a day later; the last card's is large."""
    number = np.arange(ROWS)
    received_ms = START_MS + number * STEP_MS
    columns = {column: pa.nulls(ROWS, pa.string()) for column in ID_COLUMNS.values()}
    columns |= {
        "attempt_id": pa.array([f"att_{at}" for at in number]),
        ID_COLUMNS[Entity.CARD]: pa.array([f"token_{at % 3}" for at in number]),
        ID_COLUMNS[Entity.MERCHANT]: pa.array([f"mer_{at % 2}" for at in number]),
        ID_COLUMNS[Entity.DEVICE]: pa.array([None if at % 5 else "dev_0" for at in number]),
    }
    fraud = number % 10 == 0
    return History(
        attempts=pa.table(columns),
        received_ms=received_ms,
        amount_ref=np.where(number == ROWS - 1, 90_000, 1_000 + number),
        fraud=fraud,
        labelled_ms=np.where(fraud, received_ms + DAY_MS, NEVER_MS),
        merchants={"mer_1": MerchantEntry(tier="small", category="5411", country="FR")},
        provenance="simulated",
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "history"


def rows(folder, table):
    files = sorted(folder.glob(f"{table}/day=*/*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_every_attempt_is_a_decision_of_the_import_s_writer(history, folder):
    imported = import_history(history, folder, tenant="acme", region=3)
    assert imported == Imported(decisions=ROWS, effects=6, writer=f"3/{IMPORT_WRITER}")
    found = rows(folder, "decisions")
    assert [row["seq"] for row in found] == list(range(1, ROWS + 1))
    assert len({row["decision_id"] for row in found}) == ROWS
    for at, row in enumerate(found):
        place = locate(row["decision_id"])
        assert place == DecisionPlace(3, IMPORT_WRITER, int(history.received_ms[at]))
        assert (row["region"], row["writer"], row["epoch"]) == (3, IMPORT_WRITER, 1)
        assert (row["tenant"], row["attempt_id"]) == ("acme", f"att_{at}")
        assert (row["received_ms"], row["amount_ref"]) == (place.unix_ms, history.amount_ref[at])
        assert (row["card"], row["card_bit"]) == (
            f"token_{at % 3}",
            distinct_bit(f"token_{at % 3}"),
        )
        assert row["device"] == (None if at % 5 else "dev_0")
        assert (row["device_bit"] is None) == (row["device"] is None)
        assert row["email"] is row["email_bit"] is None
        assert row["merchant_tier"] == ("small" if at % 2 else None)
        assert (row["action"], row["rung"]) == ("imported", "imported")


def test_labels_that_had_arrived_by_the_end_are_effects(history, folder):
    import_history(history, folder, tenant="acme", region=3)
    found = rows(folder, "effects")
    assert [row["attempt_id"] for row in found] == [f"att_{at}" for at in range(0, 60, 10)]
    decisions = {row["attempt_id"]: row for row in rows(folder, "decisions")}
    for at, row in enumerate(found):
        decided = decisions[row["attempt_id"]]
        assert row["seq"] == ROWS + 1 + at
        assert row["what"] == "fraud"
        assert row["at_ms"] == row["received_ms"] == decided["received_ms"] + DAY_MS
        same = ("card", "card_bit", "merchant", "device_bit", "amount_ref", "decision_id")
        assert [row[name] for name in same] == [decided[name] for name in same]


def test_an_attempt_is_large_against_what_was_known_of_its_card(history, folder):
    import_history(history, folder, tenant="acme", region=3)
    large = [row["attempt_id"] for row in rows(folder, "decisions") if row["large"]]
    assert large == [f"att_{ROWS - 1}"]


def test_columns_that_nothing_is_known_of_have_nothing_in_them(history, folder):
    import_history(history, folder, tenant="acme", region=3)
    (first, *_) = sorted(folder.glob("decisions/day=*/*.parquet"))
    assert pq.read_schema(first).equals(arrow_schema("decisions"))
    row = rows(folder, "decisions")[0]
    assert row["score"] is row["model_name"] is None
    assert (row["request"], row["reasons"], row["positions"], row["took_ms"]) == ("", [], [], 0.0)
    assert not [n for n, kind in TABLES["decisions"].items() if "Nullable" not in kind and row[n] is None]  # fmt: skip


def test_the_historian_goes_on_behind_an_import(history, folder):
    files = HistoryFiles(folder, rows_max=10)
    before = files.resume()
    import_history(history, folder, tenant="acme", region=3)
    after = files.resume()
    assert after.flush == before.flush + 1
    assert after.rows == ROWS + 6
    assert after.positions == {f"3/{IMPORT_WRITER}": (1, ROWS + 6)}


def test_an_import_that_was_cut_short_is_not_there_and_can_be_done_again(history, folder):
    def stop(share, _what):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_history(history, folder, tenant="acme", region=3, report=stop)
    assert list(folder.glob("*/*/*.part"))
    assert rows(folder, "decisions") == []
    import_history(history, folder, tenant="acme", region=3)
    assert len(rows(folder, "decisions")) == ROWS
    assert not list(folder.glob("*/*/*.part"))


def test_a_second_import_is_refused(history, folder):
    import_history(history, folder, tenant="acme", region=3)
    before = json.loads((folder / "checkpoint.json").read_bytes())
    with pytest.raises(HistoryError, match="has an import already"):
        import_history(history, folder, tenant="acme", region=3)
    assert json.loads((folder / "checkpoint.json").read_bytes()) == before


def test_an_import_waits_for_no_historian_at_work(history, folder):
    folder.mkdir()
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HistoryError, match="the historian writes"):
            import_history(history, folder, tenant="acme", region=3)
    assert not (folder / "checkpoint.json").exists()
