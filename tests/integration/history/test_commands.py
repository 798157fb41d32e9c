"""The commands of history."""

from __future__ import annotations

import json
import re

from typer.testing import CliRunner

from app.history.columns import TABLES
from app.history.commands import app as commands


def run(*arguments):
    return CliRunner().invoke(commands, ["history", *map(str, arguments)])


def test_the_command_answers_as_json_and_says_when_there_is_more(written):
    asked = run(
        "SELECT seq, versions FROM decisions ORDER BY seq",
        "--limit",
        2,
        "--home",
        written,
        "--json",
    )
    rows = [{"seq": 1, "versions": {"policy": "p1"}}, {"seq": 3, "versions": {"policy": "p1"}}]
    assert json.loads(asked.stdout) == {"columns": ["seq", "versions"], "rows": rows, "more": True}
    assert asked.exit_code == 0


def test_the_command_shows_a_table_and_without_a_query_what_can_be_asked(written):
    shown = run("SELECT count() AS decided, NULL AS nothing FROM decisions", "--home", written)
    assert re.search(r"decided.*nothing.*3000.*-", shown.stdout, re.DOTALL)
    assert "[red]" in run("SELECT '[red]' AS text", "--home", written).stdout
    columns = json.loads(run("--json", "--home", written).stdout)["rows"]
    assert {row["table"] for row in columns} == TABLES.keys()
    assert {"table": "labels", "name": "label", "type": "LowCardinality(String)"} in columns


def test_the_command_loads_a_server_and_asks_it(written, server):
    url = f"http://127.0.0.1:{server.server_port}/stepdown"
    loaded = run("load", "--clickhouse", url, "--home", written, "--json")
    assert json.loads(loaded.stdout)["rows"] == 4_002
    asked = run("SELECT count() AS n FROM effects", "--clickhouse", url, "--json")
    assert json.loads(asked.stdout)["rows"] == [{"n": 1_000}]


def test_mistakes_at_the_command_line_are_told(tmp_path):
    assert "give the server to load" in str(run("load", "--home", tmp_path).exception)
    assert "no text" in str(run("SELECT unhex('ff')", "--home", tmp_path).exception)
    missing = tmp_path / "missing"
    asked = run("SELECT 1", "--clickhouse", "http://h:1/d", "--clickhouse-password-file", missing)
    assert f"{missing} cannot be read" in str(asked.exception)
