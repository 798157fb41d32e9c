"""Records become rows: every column, nothing made up."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from app.api.wire import Model
from app.features.spec import Entity
from app.history.columns import TABLES, arrow_schema, structure
from app.history.rows import row_of
from app.ids import EventId
from app.record.decision import DecisionRecord, encode
from app.record.effect import Effect, encode_effect
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind, Record

NUMBERS = np.array([1.5, np.nan, -0.0, np.inf, 1e-45], dtype="<f4")


def decision(**changes):
    record = DecisionRecord(
        tenant="acme",
        decision_id="dec_1",
        attempt_id="att_1",
        received_ms=1_000,
        as_of_ms=990,
        request=b'{"attempt_id":"att_1"}',
        amount_ref=1_250,
        entities={"card": "tok_1", "merchant": "m_1"},
        bits={"device": 2**63},
        merchant={"tier": "standard"},
        action="decline",
        ranking=0.5,
        rung="full",
        not_higher={"full": "stale"},
        reasons=["MODEL_RISK"],
        thresholds=(None, 0.5),
        model=Model(name="checkout", version="v1", provenance="simulated"),
        versions={"policy": "p1"},
        numbers=NUMBERS.tobytes(),
        categories=[b"5411"],
        positions={"us-east-1": {"1/0": (3, 2**40)}},
        deadline_ms=80,
        took_ms=4.5,
    )
    return encode(msgspec.structs.replace(record, **changes))


def follow_up(body, **changes):
    taken = FollowUp(tenant="acme", id="f_1", home=1, received_ms=2_000, body=body)
    return encode_follow_up(msgspec.structs.replace(taken, **changes))


def effect():
    return encode_effect(
        Effect(
            tenant="acme", of="1/0/1/7", what="fraud", at_ms=5, received_ms=6, decision_id="dec_1",
            attempt_id="att_1", attempted_ms=4, amount_ref=10, entities={"card": "tok_1"},
        )
    )  # fmt: skip


OUTCOME = (
    b'{"outcome_id":"o","kind":"refunded","occurred_at":"1970-01-01T01:00:01.5+01:00",'
    b'"amount":{"value":5,"currency":"EUR"},"added_later":1}'
)
LABEL = (
    b'{"label_id":"l","label":"fraud","source":"chargeback","event_at":"1970-01-01T00:00:02Z",'
    b'"reason_code":"10.4"}'
)


def row(kind, payload):
    return row_of(Record(EventId(1, 2, 3, 4), kind, 0, payload, b"", 0))


@pytest.mark.parametrize(
    ("kind", "payload", "table"),
    [
        (Kind.DECISION, decision(), "decisions"),
        (Kind.OUTCOME, follow_up(OUTCOME), "outcomes"),
        (Kind.LABEL, follow_up(LABEL), "labels"),
        (Kind.EFFECT, effect(), "effects"),
    ],
)
def test_a_row_has_every_column_of_its_table_and_arrow_takes_it(kind, payload, table):
    found, values = row(kind, payload)
    assert (found, values.keys()) == (table, TABLES[table].keys())
    back = pa.Table.from_pylist([values], schema=arrow_schema(table)).to_pylist()[0]
    assert (back["region"], back["writer"], back["epoch"], back["seq"]) == (1, 2, 3, 4)


def test_a_decision_keeps_its_inputs_to_the_bit():
    _, values = row(Kind.DECISION, decision())
    table = pa.Table.from_pylist([values], schema=arrow_schema("decisions"))
    assert table["numbers"].combine_chunks().flatten().to_numpy().tobytes() == NUMBERS.tobytes()
    back = table.to_pylist()[0]
    assert back["device_bit"] == 2**63
    assert dict(back["positions"])["us-east-1"] == [("1/0", {"epoch": 3, "seq": 2**40})]


def test_what_a_decision_did_not_have_is_null():
    payload = decision(thresholds=None, model=None, merchant={}, entities={}, bits={})
    _, values = row(Kind.DECISION, payload)
    absent = ("step_up_from", "decline_from", "model_name", "merchant_tier", "score", "card")
    assert [values[name] for name in (*absent, *Entity, "device_bit")] == [None] * 15


def test_an_outcome_shows_its_body_in_utc_and_takes_fields_of_a_later_release():
    _, values = row(Kind.OUTCOME, follow_up(OUTCOME, attempt_id="att_1"))
    assert (values["kind"], values["occurred_ms"]) == ("refunded", 1_500)
    assert (values["amount_value"], values["amount_currency"]) == (5, "EUR")
    assert (values["attempt_id"], values["decision_id"]) == ("att_1", None)
    assert values["body"] == OUTCOME


def test_a_label_without_an_arrival_has_none():
    _, values = row(Kind.LABEL, follow_up(LABEL))
    assert (values["label"], values["event_ms"], values["arrived_ms"]) == ("fraud", 2_000, None)


@pytest.mark.parametrize("kind", [Kind.SEAL, Kind.GAP, Kind.EXPLANATION, 99])
def test_other_kinds_are_not_kept(kind):
    assert row(kind, b"anything") is None


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.DECISION, b"\xc1"),
        (Kind.EFFECT, msgspec.msgpack.encode({"tenant": "acme"})),
        (Kind.OUTCOME, follow_up(b"{}")),
        (Kind.LABEL, follow_up(LABEL.replace(b"1970-01-01", b"1970-02-30"))),
    ],
)
def test_what_does_not_read_is_a_value_error(kind, payload):
    with pytest.raises(ValueError, match=r"."):
        row(kind, payload)


def test_columns_are_declared_as_clickhouse_does():
    assert structure({"of": "String", "n": "Array(Float32)"}) == "`of` String, `n` Array(Float32)"
