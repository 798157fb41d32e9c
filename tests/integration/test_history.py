"""History against real journals, a real engine, and a historian that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from app.history.clickhouse import Address, ClickHouse, Loaded
from app.history.columns import DAY, TABLES
from app.history.commands import app as commands
from app.history.files import HistoryError, HistoryFiles
from app.history.historian import Historian
from app.history.query import COLUMNS, History
from app.ids import DecisionIds
from app.record.decision import DecisionRecord, encode
from app.record.effect import Effect, encode_effect
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.journal_tail import JournalTail
from regions.topology import load_topology

REGION_NAME = "us-east-1"
REGION = load_topology().region(REGION_NAME).number
START_MS = 1_767_225_600_000  # 2026-01-01
DAY_MS = 86_400_000
ACTIONS = ("approve", "step_up", "decline")


class Writer:
    """Writes what a scorer and a joiner write, and remembers it."""

    def __init__(self, home):
        self.journal = open_journal(
            home / REGION_NAME / "journal", region=REGION, segment_bytes=200_000
        )
        self.decisions, self.effects = [], []
        self._ids = DecisionIds(region=REGION, writer=self.journal.writer)

    def decide(self, at):
        received_ms = START_MS + at * 60_000
        record = DecisionRecord(
            tenant="acme",
            decision_id=self._ids.new(received_ms),
            attempt_id=f"att_{at}",
            received_ms=received_ms,
            as_of_ms=received_ms - 5,
            request=f'{{"attempt_id":"att_{at}","note":"žluťoučký"}}'.encode(),
            amount_ref=at * 7,
            entities={"card": f"tok_{at % 50}", "merchant": f"m_{at % 9}"},
            bits={"device": 1 << (at % 64)},
            merchant={"tier": "standard", "category": "5411"},
            large=at % 10 == 0,
            action=ACTIONS[at % 3],
            score=at / 10_000,
            ranking=at / 10_000,
            rung="full",
            not_higher={},
            reasons=["MODEL_RISK"],
            versions={"policy": "p1"},
            numbers=np.array([at, 0.5], dtype="<f4").tobytes(),
            positions={"eu-west-1": {"2/0": (1, at + 1)}},
            deadline_ms=80,
            took_ms=1.5,
        )
        self.decisions.append(record)
        self.journal.append(Kind.DECISION, encode(record))

    def count(self, at):
        effect = Effect(
            tenant="acme",
            of=f"{REGION}/0/1/{at + 1}",
            what=("authorised", "fraud")[at % 2],
            at_ms=START_MS + at * 60_000,
            received_ms=START_MS + at * 60_000,
            decision_id="dec",
            attempt_id=f"att_{at}",
            attempted_ms=START_MS,
            amount_ref=at,
            entities={"card": f"tok_{at % 50}"},
        )
        self.effects.append(effect)
        self.journal.append(Kind.EFFECT, encode_effect(effect))

    def follow_up(self, kind, body):
        taken = FollowUp(
            tenant="acme", id="f_1", home=REGION, received_ms=START_MS, attempt_id="att_0",
            body=msgspec.json.encode(body),
        )  # fmt: skip
        self.journal.append(kind, encode_follow_up(taken))


@pytest.fixture
def writer(tmp_path):
    writer = Writer(tmp_path)
    yield writer
    writer.journal.close()


@pytest.fixture
def written(tmp_path, writer):
    """A home with 3,000 decisions over three days and 1,000 effects, as history."""
    for at in range(3_000):
        writer.decide(at)
        if at % 3 == 0:
            writer.count(at)
    outcome = {"outcome_id": "f_1", "kind": "captured", "occurred_at": "2026-01-01T00:00:01Z"}
    label = {"label_id": "f_1", "label": "fraud", "source": "chargeback", "event_at": "2026-01-01T00:00:02Z"}  # fmt: skip
    writer.follow_up(Kind.OUTCOME, outcome)
    writer.follow_up(Kind.LABEL, label)
    keep(tmp_path)
    return tmp_path


def keep(home, *, rows_max=1_000):
    """Bring history up to the journals."""
    folder = home / REGION_NAME
    historian = Historian(
        JournalTail(folder / "journal"),
        HistoryFiles(folder / "history", rows_max=rows_max),
        monotonic=time.monotonic,
        rows_max=rows_max,
        linger_s=60.0,
    )
    historian.resume()
    while historian.step():
        pass
    historian.flush()
    return historian.checkpoint


def test_counts_and_sums_by_sql_are_the_journals(written, writer):
    counted = Counter(d.action for d in writer.decisions)
    amounts = Counter()
    for decision in writer.decisions:
        amounts[decision.action] += decision.amount_ref
    with History(written) as history:
        rows = history.sql(
            "SELECT action, count() AS n, sum(amount_ref) AS amount, countIf(large) AS large "
            "FROM decisions GROUP BY action"
        ).to_pylist()
        assert {row["action"]: row["n"] for row in rows} == counted
        assert {row["action"]: row["amount"] for row in rows} == amounts
        assert sum(row["large"] for row in rows) == sum(d.large for d in writer.decisions)
        effects = history.sql("SELECT what, sum(amount_ref) AS amount FROM effects GROUP BY what")
        assert {row["what"]: row["amount"] for row in effects.to_pylist()} == {
            what: sum(e.amount_ref for e in writer.effects if e.what == what)
            for what in ("authorised", "fraud")
        }


def test_a_decision_reads_back_with_its_parts_in_their_place(written):
    with History(written) as history:
        (row,) = history.sql(
            "SELECT *, positions['eu-west-1']['2/0'].seq AS applied, numbers[1] AS first "
            "FROM decisions WHERE attempt_id = {id:String}",
            {"id": "att_1500"},
        ).to_pylist()
    assert (row["applied"], row["first"], row["card"]) == (1_501, 1_500.0, "tok_0")
    assert json.loads(row["request"])["note"] == "žluťoučký"
    assert (str(row["day"]), row["device_bit"]) == ("2026-01-02", 1 << (1_500 % 64))
    assert (row["customer"], row["model_name"]) == (None, None)


def test_outcomes_and_labels_are_tables_of_their_own(written):
    with History(written) as history:
        (outcome,) = history.sql("SELECT * FROM outcomes").to_pylist()
        (label,) = history.sql("SELECT * FROM labels").to_pylist()
    assert (outcome["kind"], outcome["occurred_ms"]) == ("captured", START_MS + 1_000)
    assert (label["label"], label["event_ms"]) == ("fraud", START_MS + 2_000)


def test_a_query_of_one_day_opens_the_files_of_that_day_only(written):
    for path in written.glob(f"*/history/decisions/{DAY}=2026-01-03/*"):
        path.write_bytes(b"unreadable")
    with History(written) as history:
        day = "SELECT sum(amount_ref) AS amount FROM decisions WHERE day = '2026-01-02'"
        assert history.sql(day)["amount"][0].as_py() == 7 * sum(range(1_440, 2_880))
        with pytest.raises(HistoryError, match=r"^ClickHouse says: "):
            history.sql("SELECT sum(amount_ref) FROM decisions")


def test_an_open_history_sees_files_that_came_and_files_that_grew(tmp_path, writer):
    count = "SELECT count() AS n, sum(amount_ref) AS amount, uniqExact(seq) AS seqs FROM decisions"
    with History(tmp_path) as history:
        for upto in (100, 200, 1_500):
            for at in range(len(writer.decisions), upto):
                writer.decide(at)
            keep(tmp_path)
            assert history.sql(count).to_pylist() == [
                {"n": upto, "amount": 7 * sum(range(upto)), "seqs": upto}
            ]


def test_an_empty_history_has_empty_tables_with_every_column(tmp_path):
    with History(tmp_path) as history:
        for table, columns in TABLES.items():
            found = history.sql(f"SELECT * FROM {table}")
            assert (found.num_rows, found.column_names) == (0, [*columns, DAY])


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT nosuch FROM decisions", "Unknown expression identifier `nosuch`"),
        ("SELECT * FROM nosuch", "Unknown table expression identifier 'nosuch'"),
        ("SELEC 1", "is not one SELECT"),
        ("SELECT 1; SELECT 2", "is not one SELECT"),
        ("SELECT 1 FORMAT CSV", "is not one SELECT.* 'CSV'"),
        ("SELECT 1 INTO OUTFILE 'here'", "is not one SELECT"),
        ("DROP TABLE decisions", "is not one SELECT"),
        ("INSERT INTO decisions (seq) VALUES (1)", "is not one SELECT"),
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", "readonly mode"),
        (
            "SELECT * FROM file('/etc/passwd', 'LineAsString') SETTINGS readonly = 0",
            "readonly mode",
        ),
        ("SELECT {id:Int64}", "id"),
    ],
)
def test_a_query_that_is_wrong_or_writes_is_refused_in_one_sentence(tmp_path, query, why):
    with History(tmp_path) as history, pytest.raises(HistoryError, match=why) as told:
        history.sql(query)
    assert "\n" not in str(told.value)
    assert str(told.value).endswith(".")


def test_regions_are_looked_at_together_or_alone(written):
    (written / "eu-west-1").mkdir()
    (written / "eu-west-1" / "history").symlink_to(written / REGION_NAME / "history")
    query = "SELECT count() AS n FROM decisions"
    for regions, expected in (((), 6_000), ((REGION_NAME,), 3_000)):
        with History(written, regions=regions) as history:
            assert history.sql(query)["n"][0].as_py() == expected


def test_a_historian_killed_at_any_moment_loses_and_doubles_nothing(tmp_path, writer):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for kills in range(4):  # the last one is told to stop instead
        process = start_historian(tmp_path)
        until_s = time.monotonic() + rng.uniform(1.0, 2.5)
        while time.monotonic() < until_s or not flushes(tmp_path, more_than=3 * kills):
            for _ in range(100):
                at = len(writer.decisions)
                writer.decide(at)
                writer.count(at)
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if kills < 3 else signal.SIGTERM)
        assert process.wait(30) == (-signal.SIGKILL if kills < 3 else 0)
    keep(tmp_path)
    with History(tmp_path) as history:
        for table, made in (("decisions", writer.decisions), ("effects", writer.effects)):
            (row,) = history.sql(
                f"SELECT count() AS n, uniqExact(seq) AS seqs, uniqExact(attempt_id) AS ids, "
                f"sum(amount_ref) AS amount FROM {table}"
            ).to_pylist()
            amount = sum(one.amount_ref for one in made)
            expected = {"n": len(made), "seqs": len(made), "ids": len(made), "amount": amount}
            assert row == expected, f"seed {seed}"


def start_historian(home):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "app.history.historian_process",
            "--rows",
            "1500",
            "--linger",
            "0.1",
        ],
        env={**os.environ, "STEPDOWN_HOME": str(home), "STEPDOWN_POLL_S": "0.01"},
        stderr=subprocess.DEVNULL,
    )


def flushes(home, *, more_than):
    with contextlib.suppress(FileNotFoundError):
        path = home / REGION_NAME / "history" / "checkpoint.json"
        return json.loads(path.read_bytes())["flush"] > more_than
    return False


def test_a_second_historian_of_a_folder_is_refused(tmp_path, writer):
    writer.decide(0)
    first = start_historian(tmp_path)
    try:
        deadline_s = time.monotonic() + 20
        while not flushes(tmp_path, more_than=0) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        second = subprocess.run(
            [sys.executable, "-m", "app.history.historian_process"],
            env={**os.environ, "STEPDOWN_HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    finally:
        first.terminate()
        first.wait(30)
    assert second.returncode == 2
    assert re.fullmatch(r"historian: another historian writes .*\.\n", second.stderr)


class EngineBehindHttp(BaseHTTPRequestHandler):
    """Stands for a server: hands what is posted to ClickHouse's engine in this process.

    The engine cannot be given a body, so `input()` becomes a file. Settings are not handed on.
    """

    def do_POST(self):
        given = dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((given, dict(self.headers)))
        try:
            status, content = 200, self.run(given, body)
        except RuntimeError as error:
            status, content = 400, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def run(self, given, body):
        if self.server.engine_away:
            return b"<html>hello</html>"
        sql = given.get("query", "")
        if "FORMAT Parquet" in sql:
            path = self.server.folder / f"{len(self.server.asked)}.parquet"
            path.write_bytes(body)
            sql = sql.replace("FROM input(", f"FROM file('{path}', 'Parquet', ")
            sql, body = sql.replace("FORMAT Parquet", ""), b""
            if self.server.cut_short:
                sql += " LIMIT 10"
        if self.server.cut_short and "INSERT INTO loaded" in sql:
            raise RuntimeError("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT)")
        params = {k.removeprefix("param_"): v for k, v in given.items() if k.startswith("param_")}
        self.server.engine.query(f"USE {given['database']}")
        form = given.get("default_format", "TabSeparated")
        return self.server.engine.query(f"{sql}{body.decode()}", form, params=params).bytes()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path_factory):
    from chdb.session import Session

    server = ThreadingHTTPServer(("127.0.0.1", 0), EngineBehindHttp)
    server.engine, server.asked = Session(), []
    server.cut_short = server.engine_away = False
    server.folder = tmp_path_factory.mktemp("posted")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    server.engine.query("DROP DATABASE IF EXISTS stepdown")
    server.engine.close()


@pytest.fixture
def clickhouse(server):
    address = Address.parse(f"http://loader@127.0.0.1:{server.server_port}/stepdown")
    return ClickHouse(address, password="secret")


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
