"""What is said of a query, and of a server's address."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.history.clickhouse import Address
from app.history.files import HistoryError
from app.history.query import History, history_folders, said_by_clickhouse, selecting


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            (
                "Code: 47. DB::Exception: Unknown expression identifier `nosuch`. In scope SELECT "
                "nosuch: Note: the query does not have the FROM clause. (UNKNOWN_IDENTIFIER)"
            ),
            "ClickHouse says: Unknown expression identifier `nosuch`.",
        ),
        (
            (
                "Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero: while "
                "executing 'FUNCTION throwIf(1)'. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"
            ),
            "ClickHouse says: Value passed to 'throwIf' function is non-zero.",
        ),
        (
            "Code: 516. DB::Exception: default: Authentication failed (version 26.9.2.1)",
            "ClickHouse says: default: Authentication failed.",
        ),
        (
            (
                "Code: 62. DB::Exception: Syntax error: failed at position 31 (outfile) (line 2, col "
                "15): outfile 'x'\n) LIMIT 3. Expected one of: token. (SYNTAX_ERROR)"
            ),
            "this is not one SELECT that ClickHouse understands; it stops at 'outfile'.",
        ),
        ("no such thing", "ClickHouse says: no such thing."),
    ],
)
def test_an_error_of_clickhouse_is_one_sentence(text, sentence):
    assert said_by_clickhouse(text) == sentence


def test_a_query_is_taken_as_a_subquery_whatever_it_ends_with():
    assert selecting("SELECT 1 -- one\n;", 5) == "SELECT * FROM (\nSELECT 1 -- one\n\n)\nLIMIT 5"


def test_an_address_names_host_port_and_database():
    assert Address.parse("https://me%40x@db:8443/stepdown") == Address(
        scheme="https", host="db", port=8443, user="me@x", database="stepdown"
    )


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("clickhouse://db:8123/stepdown", "is not http"),
        ("http://db/stepdown", "is not http"),
        ("http://db:99999/stepdown", "is not http"),
        ("http://db:8123", "names no database"),
        ("http://db:8123/a;b", "names no database"),
        ("http://me:secret@db:8123/stepdown", "a password belongs in a file"),
    ],
)
def test_a_wrong_address_is_told(url, why):
    with pytest.raises(HistoryError, match=why) as told:
        Address.parse(url)
    assert "secret" not in str(told.value)


def test_a_region_without_history_is_told(tmp_path):
    (tmp_path / "us-east-1" / "history").mkdir(parents=True)
    with pytest.raises(HistoryError, match="there is no history of mars in"):
        list(history_folders(tmp_path, ["us-east-1", "mars"]))


def test_a_missing_engine_is_told_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(HistoryError, match=r"install stepdown\[history\]"):
        History(tmp_path)


def test_a_home_whose_name_is_a_pattern_is_told(tmp_path):
    with pytest.raises(HistoryError, match="takes for a pattern"):
        History(tmp_path / "a*b")


def test_neither_engine_nor_arrow_is_imported_until_it_is_used():
    # The commands are part of the one command line; the historian runs on every region host.
    code = (
        "import sys, app.history.commands, app.history.query, app.history.clickhouse, "
        "app.history.historian_process; print({'chdb', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
