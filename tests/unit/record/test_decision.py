"""The decision record: what one release wrote, another reads."""

from __future__ import annotations

import msgspec
import pytest

from app.features.countable import Countable, countable
from app.features.events import Counted
from app.ids import EventId
from app.record.decision import DecisionRecord, decode_record, encode
from app.record.frames import Kind, Record


@pytest.fixture
def record():
    return DecisionRecord(
        tenant="acme",
        decision_id="dec_018bcfe5-6800-7000-8000-000000000000",
        attempt_id="a1",
        received_ms=1_700_000_000_000,
        as_of_ms=1_700_000_000_001,
        request=b"{}",
        amount_ref=2_500,
        entities={"card": "tok_1"},
        bits={"card": 1 << 63},
        merchant={},
        action="approve",
        ranking=0.25,
        rung="rules",
        not_higher={"full": "timeout"},
        reasons=["AMOUNT_UNUSUAL"],
        versions={"policy": "7"},
        positions={"us-east-1/0": {"1/0": (1, 2)}},
        deadline_ms=80,
        took_ms=1.5,
    )


def test_a_record_reads_back(record):
    assert decode_record(encode(record)) == record


def journaled(payload):
    return Record(
        id=EventId(0, 0, 1, 1),
        kind=Kind.DECISION,
        written_ms=1_700_000_000_000,
        payload=payload,
        head=b"",
        end=0,
    )


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({}, Counted.ATTEMPTED),
        ({"action": "step_up"}, Counted.ATTEMPTED | Counted.STEPPED_UP),
        (
            {"action": "decline", "large": True},
            Counted.ATTEMPTED | Counted.DECLINED | Counted.LARGE,
        ),
    ],
)
def test_the_counters_take_what_they_need_of_it(record, said, what):
    assert countable(journaled(encode(msgspec.structs.replace(record, **said)))) == Countable(
        tenant="acme",
        at_ms=1_700_000_000_000,
        what=int(what),
        amount_ref=2_500,
        entities={"card": "tok_1"},
        bits={"card": 1 << 63},
    )


def test_a_field_of_a_later_release_does_not_hinder_reading(record):
    later = msgspec.msgpack.encode(
        msgspec.msgpack.decode(encode(record)) | {"v": 2, "mood": "sunny"}
    )
    assert decode_record(later).attempt_id == "a1"
    assert countable(journaled(later)).amount_ref == 2_500


def test_a_record_without_what_the_counters_need_is_refused():
    with pytest.raises(msgspec.ValidationError, match="received_ms"):
        countable(journaled(msgspec.msgpack.encode({"tenant": "acme"})))
