"""Data that nobody here made, by a mapping file: the public benchmark set, where it is at hand."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from app.api.reading import read_attempt
from app.features.spec import Entity
from app.models.training.history import NEVER_MS, ids_of, load_history
from app.models.training.mapped import load_mapped, read_history
from app.models.training.mapping import WIRE_FIELDS, column_of, load_mapping

HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook.yaml"
SLICE_ROWS = 30_000


@pytest.fixture(scope="module")
def public_slice(tmp_path_factory):
    """The first rows of the public set, three days of it."""
    named = os.environ.get("STEPDOWN_PUBLIC_DATA", "")
    if not Path(named).is_file():
        pytest.skip("STEPDOWN_PUBLIC_DATA does not name the Parquet file of the public set")
    with pq.ParquetFile(named) as parquet:
        table = pa.Table.from_batches([next(parquet.iter_batches(SLICE_ROWS))])
    path = tmp_path_factory.mktemp("public") / "slice.parquet"
    pq.write_table(table, path)
    return path


def test_the_public_set_loads_as_it_is_published(public_slice):
    history = load_mapped(public_slice, load_mapping(HANDBOOK))
    raw = pq.read_table(public_slice)
    assert len(history) == SLICE_ROWS
    assert history.provenance == "simulated"
    assert (history.fraud == (raw["TX_FRAUD"].to_numpy() == 1)).all()
    assert (history.amount_ref / 100 == raw["TX_AMOUNT"].to_numpy()).all()
    delay_days = (history.labelled_ms - history.received_ms)[history.fraud] / 86_400_000
    assert (delay_days == 7).all()
    for entity, column in ((Entity.CARD, "CUSTOMER_ID"), (Entity.MERCHANT, "TERMINAL_ID")):
        assert len(ids_of(history, entity).names) == len(raw[column].unique())
    assert (ids_of(history, Entity.DEVICE).code == -1).all()


def test_the_service_takes_what_the_public_set_becomes(public_slice):
    history = load_mapped(public_slice, load_mapping(HANDBOOK))
    sample = history.take(np.arange(0, len(history), 1_000))
    for body in sample.documents():
        read_attempt(json.dumps(body).encode())


@pytest.mark.parametrize("name", ["attempts.parquet", "attempts.csv"])
def test_a_simulated_history_is_the_same_when_it_comes_by_a_mapping(trained, tmp_path, name):
    simulated = load_history(trained / "data")
    own = simulated.take(np.arange(20_000))
    table = own.attempts.drop_columns(["region", "fraud_pattern", "amount_ref"])
    if name.endswith(".csv"):
        pacsv.write_csv(table, tmp_path / name)
    else:
        pq.write_table(table, tmp_path / name)
    fields = [field for field in WIRE_FIELDS if column_of(field) in table.column_names]
    extras = [name for name in table.column_names if name.startswith("attributes__")]
    (tmp_path / "mapping.yaml").write_text(
        "time: received_at\n"
        "amount: {column: amount__value, currency: {column: amount__currency}, unit: minor}\n"
        "label: {column: fraud, delay_days: 30}\n"
        "provenance: simulated\n"
        + "".join(f"{field}: {column_of(field)}\n" for field in fields)
        + "attributes:\n"
        + "".join(f"  {name.removeprefix('attributes__')}: {name}\n" for name in extras)
    )
    mapped = read_history(tmp_path / name, tmp_path / "mapping.yaml")
    assert (mapped.received_ms == own.received_ms).all()
    assert (mapped.amount_ref == own.amount_ref).all()
    assert (mapped.fraud == own.fraud).all()
    assert ((mapped.labelled_ms < NEVER_MS) == own.fraud).all()
    assert mapped.take(np.arange(500)).documents() == own.take(np.arange(500)).documents()
    for field in fields:
        values = mapped.attempts[column_of(field)]
        assert values.equals(own.attempts[column_of(field)].cast(values.type)), field
