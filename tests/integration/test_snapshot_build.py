"""A snapshot and a hot list made by SQL are those that training makes, to the last bit."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from app.errors import OperatorError
from app.features.build_commands import snapshot as snapshot_command
from app.features.events import Counted
from app.features.hot_lists import hot_merchants, write_list
from app.features.mapped_file import MappedFile
from app.features.reference import REFERENCE
from app.features.snapshot import load_snapshot
from app.features.snapshot_build import EventsBefore, build_snapshot
from app.features.spec import DAY_MS, Entity
from app.history.columns import DAY, arrow_schema
from app.history.query import History
from app.models.training.counters import EventLog
from app.models.training.history import ID_COLUMNS, load_history
from app.models.training.inputs import hot_merchants as hot_merchants_of
from app.models.training.inputs import snapshot_batches
from app.publish import current
from app.rulebook import load_rules
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

TENANT = "demo"
REGIONS = ("us-east-1", "eu-west-1")


def day_of(at_ms: np.ndarray) -> list[str]:
    return np.datetime_as_string(at_ms.astype("datetime64[ms]").astype("datetime64[D]")).tolist()


def write_days(home: Path, table: str, rows: pa.Table, received_ms: np.ndarray) -> None:
    """Rows as a history's files, a day to a file, every other day in another region."""
    schema = arrow_schema(table)
    missing = [pa.nulls(len(rows), field.type) for field in schema]
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else null
        for field, null in zip(schema, missing, strict=True)
    ]
    whole = pa.table(columns, schema=schema)
    days = np.array(day_of(received_ms))
    for at, day in enumerate(np.unique(days)):
        region = REGIONS[at % len(REGIONS)]
        folder = home / region / "history" / table / f"{DAY}={day}"
        folder.mkdir(parents=True)
        pq.write_table(whole.filter(pa.array(days == day)), folder / "events.parquet")


def as_history(home: Path, data) -> None:
    """A history to train on, as the one that its traffic would have left."""
    entities = {str(entity): data.attempts[column] for entity, column in ID_COLUMNS.items()}
    count = len(data)
    marks = EventLog.marked(data, REFERENCE).what[:count]
    write_days(
        home,
        "decisions",
        pa.table({
            **entities,
            "tenant": [TENANT] * count,
            "action": ["approve"] * count,
            "large": (marks & int(Counted.LARGE)) != 0,
            "received_ms": data.received_ms,
            "amount_ref": data.amount_ref,
        }),
        data.received_ms,
    )  # fmt: skip
    later = data.follow_ups()
    later = later.of(np.argsort(later.known_ms, kind="stable"))
    of = later.attempt
    effects = {name: column.take(pa.array(of)) for name, column in entities.items()}
    write_days(
        home,
        "effects",
        pa.table({
            **effects,
            "tenant": [TENANT] * len(of),
            "what": [str(Counted(what).name).lower() for what in later.what.tolist()],
            "at_ms": later.at_ms,
            "received_ms": later.known_ms,
            "amount_ref": data.amount_ref[of],
        }),
        later.known_ms,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory):
    """A simulated history to train on."""
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate(
        SimulatorConfig(seed=7, attempts=40_000, days=50, fraud_share=0.02),
        folder,
        progress=lambda _done, _what: None,
    )
    return load_history(folder)


@pytest.fixture(scope="module")
def home(trained_on, tmp_path_factory):
    """The same history as two regions' files."""
    home = tmp_path_factory.mktemp("home")
    as_history(home, trained_on)
    return home


def rows_of(folder: Path, version: str) -> dict[bytes, bytes]:
    mapped = MappedFile(folder, version, kind="snapshot")
    with mapped._env.begin() as txn:
        return dict(txn.cursor())


def built(home, out, as_of_ms, **options):
    with History(home) as history:
        events = EventsBefore(history=history, tenant=TENANT, as_of_ms=as_of_ms)
        return build_snapshot(events, REFERENCE, out, **options)


def expected_rows(data, as_of_ms):
    return {
        f"{TENANT}:{entity}:{id}".encode(): values.tobytes()
        for entity, ids, rows in snapshot_batches(data, REFERENCE, as_of_ms)
        for id, values in zip(ids, rows, strict=True)
    }


@pytest.mark.parametrize("days_before_the_end", [0, 9])
def test_every_row_is_that_of_training_to_the_last_bit(
    home, trained_on, tmp_path, days_before_the_end
):
    as_of_ms = trained_on.end_ms - days_before_the_end * DAY_MS
    snapshot = built(home, tmp_path, as_of_ms, slice_rows=1_000)
    expected = expected_rows(trained_on, as_of_ms)
    assert rows_of(tmp_path, snapshot.version) == expected
    assert sum(snapshot.rows.values()) == len(expected)
    loaded = load_snapshot(tmp_path, snapshot.version, features=REFERENCE)
    assert loaded.as_of_ms == as_of_ms


def test_the_data_of_that_test_have_links_and_labels(trained_on):
    for entity, _, rows in snapshot_batches(trained_on, REFERENCE, trained_on.end_ms):
        of_entity = [counter.name for counter in REFERENCE.batch_counters_of(entity)]
        for name in ("card_linked_fraud", "merchant_fraud_1d", "device_linked_fraud"):
            if name in of_entity:
                assert (rows[:, of_entity.index(name)] > 0).sum() > 5


def test_a_bound_keeps_whoever_was_seen_last_and_counts_the_others(home, trained_on, tmp_path):
    as_of_ms = trained_on.end_ms
    snapshot = built(home, tmp_path, as_of_ms, rows_max=500, slice_rows=1_000)
    everyone = expected_rows(trained_on, as_of_ms)
    kept = rows_of(tmp_path, snapshot.version)
    assert kept.items() <= everyone.items()
    card = trained_on.attempts[ID_COLUMNS[Entity.CARD]].to_pylist()
    newest = dict(zip(card, trained_on.received_ms.tolist(), strict=True))
    later = trained_on.follow_ups()
    later = later.of(later.known_ms < as_of_ms)
    for attempt, at_ms in zip(later.attempt.tolist(), later.at_ms.tolist(), strict=True):
        newest[card[attempt]] = max(newest[card[attempt]], at_ms)
    prefix = f"{TENANT}:card:"
    cards = {key.decode().removeprefix(prefix) for key in kept if key.startswith(prefix.encode())}
    assert cards == set(sorted(newest, key=lambda id: (newest[id], id))[-500:])
    assert snapshot.rows[Entity.CARD] == 500
    seen = sum(key.startswith(prefix.encode()) for key in everyone)
    assert snapshot.left_out[Entity.CARD] == seen - 500


def test_another_tenant_of_the_same_history_has_nothing(home, trained_on, tmp_path):
    with History(home) as history:
        events = EventsBefore(history=history, tenant="other", as_of_ms=trained_on.end_ms)
        with pytest.raises(OperatorError, match=r"has nothing of 'other'.*2026-08-20"):
            build_snapshot(events, REFERENCE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_hot_merchants_are_those_of_training(home, trained_on):
    found = set()
    with History(home) as history:
        for back in range(0, 12, 2):
            as_of_ms = trained_on.end_ms - back * DAY_MS
            events = EventsBefore(history=history, tenant=TENANT, as_of_ms=as_of_ms)
            hot = hot_merchants(events, REFERENCE)
            assert hot == hot_merchants_of(trained_on, REFERENCE, as_of_ms)
            found.update(hot)
    assert found


def test_a_list_that_is_written_is_what_the_rules_read(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nrules: []\n")
    path = tmp_path / "lists" / "hot_merchants.txt"
    write_list(path, ["m-1", "m-2", "m-3"])
    write_list(path, ["m-2"])
    assert load_rules(rules).lists["hot_merchants"] == {"m-2"}
    assert [file.name for file in path.parent.iterdir()] == ["hot_merchants.txt"]


@pytest.fixture
def stepdown(home, monkeypatch):
    """`stepdown features snapshot` as a person runs it, in a region that publishes."""
    app = typer.Typer()
    app.command()(snapshot_command)
    app.command("other")(lambda: None)
    for region in REGIONS:
        (home / region / "published").mkdir(exist_ok=True)
    monkeypatch.setenv("STEPDOWN_HOME", str(home))
    return lambda *words: CliRunner().invoke(app, ["snapshot", *words])


def test_the_command_publishes_everywhere_and_can_be_run_again(stepdown, home, trained_on):
    day = dt.datetime.fromtimestamp(trained_on.end_ms / 1_000, dt.UTC).date().isoformat()
    first, second = (json.loads(stepdown("--as-of", day, "--json").stdout) for _ in range(2))
    assert first["rows"] == second["rows"]
    for at in (home / "registry", *(home / region / "published" for region in REGIONS)):
        folder = at / "snapshot"
        assert current(folder) == second["version"]
        assert rows_of(folder, second["version"]) == expected_rows(trained_on, trained_on.end_ms)
    hot = hot_merchants_of(trained_on, REFERENCE, trained_on.end_ms)
    assert hot
    for region in REGIONS:
        lists = home / region / "published" / "rules" / "lists"
        assert (lists / "hot_merchants.txt").read_text().split() == hot
    assert (home / "registry" / "hot_merchants.txt").read_text().split() == hot


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--as-of", "2999-01-01"), "2999-01-01 has not begun yet, UTC."),
        (("--region", "mars"), "nothing is published in a region mars"),
        (("--as-of", "2020-01-01"), "the history has nothing of 'demo' to make a snapshot"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_sentence(stepdown, words, sentence):
    problem = stepdown(*words).exception
    assert isinstance(problem, OperatorError)
    assert str(problem).startswith(sentence)
