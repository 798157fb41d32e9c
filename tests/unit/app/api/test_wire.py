"""The structs of the wire: what is let in, and what stands for 'not sent'."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from msgspec import UNSET

from app.api.wire import MINOR_UNITS_MAX, Attempt, Decision, as_datetime

BODY = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345"},
}


def read(**fields):
    return msgspec.convert({**BODY, **fields}, Attempt)


def test_what_was_not_sent_is_unset():
    attempt = read()
    assert attempt.occurred_at is UNSET
    assert attempt.customer.id is UNSET
    assert attempt.attributes is UNSET


def test_step_up_is_available_unless_the_caller_says_otherwise():
    assert read().step_up_available
    assert not read(step_up_available=False).step_up_available


def test_what_was_not_sent_is_not_encoded():
    assert msgspec.json.decode(msgspec.json.encode(read())) == BODY


@pytest.mark.parametrize("field", ["occurred_at", "customer", "attributes", "step_up_available"])
def test_null_is_not_the_same_as_not_sent(field):
    with pytest.raises(msgspec.ValidationError):
        read(**{field: None})


@pytest.mark.parametrize(
    "fields",
    [
        {"attempt_id": "a1\n"},
        {"merchant": {"id": "mer_1\n"}},
        {"instrument": {"token": "tok_12345\n"}},
        {"instrument": {"token": "tok_12345", "bin": "408448\n"}},
        {"instrument": {"token": "tok_12345", "issuer_country": "DE\n"}},
        {"instrument": {"token": "tok_12345", "expires": "2029-11\n"}},
        {"amount": {"value": 1, "currency": "EUR\n"}},
        {"occurred_at": "2026-07-01T12:30:00Z\n"},
        {"network": {"ip_hash": "ip_1\n"}},
        {"attributes": {"campaign\n": 1}},
        {"transaction": {"three_ds": {"eci": "05\n"}}},
    ],
)
def test_a_line_break_at_the_end_is_not_overlooked(fields):
    with pytest.raises(msgspec.ValidationError):
        read(**fields)


@pytest.mark.parametrize("value", [0, 1, MINOR_UNITS_MAX])
def test_an_amount_may_be_anything_that_json_carries_exactly(value):
    assert read(amount={"value": value, "currency": "EUR"}).amount.value == value


@pytest.mark.parametrize("value", [-1, MINOR_UNITS_MAX + 1, 1.5, "1", True])
def test_an_amount_is_nothing_else(value):
    with pytest.raises(msgspec.ValidationError):
        read(amount={"value": value, "currency": "EUR"})


@pytest.mark.parametrize("value", ["has a blank", "", "x" * 129, "é"])
def test_a_hash_is_printable_since_it_becomes_part_of_a_key(value):
    with pytest.raises(msgspec.ValidationError):
        read(customer={"email_hash": value})


def test_the_3ds_version_has_no_room_for_a_card_number():
    with pytest.raises(msgspec.ValidationError):
        read(transaction={"three_ds": {"version": "4" * 13}})


@pytest.mark.parametrize(
    "instant",
    ["2026-07-01T12:30:00Z", "2026-07-01t12:30:00z", "2026-07-01T14:30:00.000000000+02:00"],
)
def test_one_instant_may_be_written_in_several_ways(instant):
    assert as_datetime(read(occurred_at=instant).occurred_at) == datetime(
        2026, 7, 1, 12, 30, tzinfo=UTC
    )


def test_a_day_that_does_not_exist_is_no_time():
    with pytest.raises(ValueError, match="day"):
        as_datetime("2026-02-30T00:00:00Z")


def test_the_answer_always_has_every_field():
    assert not any(field.required is False for field in msgspec.structs.fields(Decision))
