"""History against real journals and a real engine."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from app.history.columns import DAY, TABLES
from app.history.files import HistoryError
from app.history.query import History
from tests.integration.history.setting import REGION_NAME, START_MS, keep


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
