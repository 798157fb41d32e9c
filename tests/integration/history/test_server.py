"""History loaded into a server, and asked there."""

from __future__ import annotations

import re
import time

import pytest

from app.history.clickhouse import Loaded
from app.history.columns import DAY
from app.history.files import HistoryError, HistoryFiles
from app.history.historian import Historian
from app.history.query import COLUMNS, History
from app.streams.journal_tail import JournalTail
from tests.integration.history.setting import REGION_NAME


def load(clickhouse, home):
    return clickhouse.load(home, report=lambda _: None)


def test_a_server_answers_as_the_files_do_and_loading_again_changes_nothing(written, clickhouse):
    queries = [
        "SELECT action, count() AS n, sum(amount_ref) AS amount FROM decisions GROUP BY 1 ORDER BY 1",
        "SELECT day, what, count() AS n FROM effects GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT * FROM decisions ORDER BY seq LIMIT 20",
        "SELECT * FROM outcomes",
        "SELECT * FROM labels",
        "SELECT * FROM effects ORDER BY seq LIMIT 20",
        COLUMNS,
    ]
    first = load(clickhouse, written)
    assert (first.rows, first.unchanged) == (4_002, 0)
    assert load(clickhouse, written) == Loaded(files=0, rows=0, unchanged=first.files)
    with History(written) as history:
        for query in queries:
            assert clickhouse.sql(query).to_pylist() == history.sql(query).to_pylist()


def test_a_file_that_grew_replaces_its_rows_on_the_server(tmp_path, writer, clickhouse):
    # One historian goes on with its last file; that file has another size at each load.
    folder = tmp_path / REGION_NAME
    historian = Historian(
        JournalTail(folder / "journal"), HistoryFiles(folder / "history", rows_max=1_000),
        monotonic=time.monotonic, rows_max=1_000, linger_s=0.0,
    )  # fmt: skip
    historian.resume()
    for upto in (100, 150):
        for at in range(len(writer.decisions), upto):
            writer.decide(at)
        while historian.step():
            pass
        assert load(clickhouse, tmp_path) == Loaded(files=1, rows=upto, unchanged=0)
        (row,) = clickhouse.sql("SELECT count() AS n, sum(seq) AS s FROM decisions").to_pylist()
        assert row == {"n": upto, "s": sum(range(1, upto + 1))}
    (stored,) = clickhouse.sql("SELECT count() AS n FROM stored_decisions").to_pylist()
    assert stored["n"] == 150


def test_a_load_that_was_cut_short_is_not_seen_and_the_next_one_puts_it_right(
    written, server, clickhouse
):
    server.cut_short = True
    with pytest.raises(HistoryError, match="Memory limit exceeded"):
        load(clickhouse, written)
    assert clickhouse.sql("SELECT count() AS n FROM stored_decisions")["n"][0].as_py() == 10
    assert clickhouse.sql("SELECT count() AS n FROM decisions")["n"][0].as_py() == 0
    server.cut_short = False
    load(clickhouse, written)
    for table in ("decisions", "stored_decisions"):
        assert clickhouse.sql(f"SELECT count() AS n FROM {table}")["n"][0].as_py() == 3_000


def test_a_column_that_a_later_release_adds_is_added_on_the_server(written, server, clickhouse):
    load(clickhouse, written)
    server.engine.query("ALTER TABLE stepdown.stored_labels DROP COLUMN reason_code")
    load(clickhouse, written)
    assert clickhouse.sql("SELECT reason_code FROM labels").to_pylist() == [{"reason_code": None}]


def test_a_damaged_file_is_told_by_its_name(written, clickhouse):
    path = next(written.glob(f"*/history/labels/{DAY}=*/*"))
    path.write_bytes(b"PAR1")
    with pytest.raises(HistoryError, match=f"{re.escape(str(path))} is damaged: "):
        load(clickhouse, written)


def test_a_second_load_at_the_same_time_is_refused(written, clickhouse):
    def meanwhile(_):
        with pytest.raises(HistoryError, match=r"another load of .* is running"):
            load(clickhouse, written)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clickhouse.load(written, report=meanwhile)


def test_a_server_is_asked_read_only_with_parameters_and_credentials(server, clickhouse):
    load_nothing(clickhouse)
    answer = clickhouse.sql(
        "SELECT {text:String} AS text, {number:Int64} AS number",
        {"text": "a\\b\tc\nd'e", "number": 5},
    )
    given, headers = server.asked[-1]
    assert (given["readonly"], given["database"]) == ("1", "stepdown")
    assert given["param_text"] == "a\\\\b\\tc\\nd'e"
    assert answer["number"][0].as_py() == 5
    assert (headers["X-ClickHouse-User"], headers["X-ClickHouse-Key"]) == ("loader", "secret")


def load_nothing(clickhouse):
    """Make the database."""
    from pathlib import Path

    load(clickhouse, Path("/nonexistent"))


def test_a_server_that_refuses_or_is_away_is_told_in_one_sentence(server, clickhouse):
    load_nothing(clickhouse)
    with pytest.raises(HistoryError, match=r"Unknown expression identifier `x`\.$"):
        clickhouse.sql("SELECT x")
    server.engine_away = True
    with pytest.raises(HistoryError, match=r"^what answers is not ClickHouse"):
        clickhouse.sql("SELECT 1")
    server.shutdown()
    server.server_close()
    with pytest.raises(HistoryError, match=r"^ClickHouse does not answer at 127\.0\.0\.1:"):
        clickhouse.sql("SELECT 1")
