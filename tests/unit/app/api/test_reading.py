"""Reading an attempt: one meaning for each body, and a named field for each mistake."""

from __future__ import annotations

import json

import pytest

from app.api.problem import Invalid, Malformed
from app.api.reading import read_attempt, read_deadline_ms, read_retry, read_trace

BODY = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345"},
}
PAN = "4111111111111111"


def body(**fields):
    return json.dumps({**BODY, **fields}).encode()


def also(raw):
    return body()[:-1] + b", " + raw + b"}"


def problems_of(data):
    with pytest.raises(Invalid) as caught:
        read_attempt(data)
    return {error.field: error.problem for error in caught.value.errors}


def test_bodies_that_differ_in_form_only_have_one_canonical_form():
    _, canonical = read_attempt(body(step_up_available=True))
    turned = json.dumps(dict(reversed(BODY.items())), indent=2).encode()
    assert read_attempt(turned)[1] == canonical
    escaped = body().replace(b'"a1"', rb'"\u0061\u0031"')
    assert read_attempt(escaped)[1] == canonical


def test_bodies_that_differ_in_content_have_different_canonical_forms():
    assert read_attempt(body())[1] != read_attempt(body(attempt_id="a2"))[1]
    assert read_attempt(body())[1] != read_attempt(body(step_up_available=False))[1]


def test_the_canonical_form_is_read_back_as_the_same_attempt():
    attempt, canonical = read_attempt(body(attributes={"campaign": "summer", "visits": 3}))
    assert read_attempt(canonical) == (attempt, canonical)


@pytest.mark.parametrize(
    "raw",
    [
        b'"attempt_id": "a2"',
        rb'"attempt\u005fid": "a2"',
        b'"merchant": {"id": "mer_2"}',
        b'"attributes": {"a": 1, "a": 1}',
        b'"attributes": {"a": "::::", "a": "::"}',
        b'"attributes": {"b": "::::"}, "attributes": {}',
        b'"step_up_available": true, "step_up_available": true',
        b'"device": {}, "device": {}',
    ],
)
def test_a_key_twice_in_one_object_is_refused(raw):
    with pytest.raises(Malformed, match="stands twice"):
        read_attempt(also(raw))


def test_the_same_key_in_two_objects_is_no_duplicate():
    attempt, _ = read_attempt(body(customer={"id": "x"}, device={"id": "x"}))
    assert attempt.customer.id == attempt.device.id


def test_colons_and_backslashes_in_values_are_no_keys():
    extras = {"a": 'x":"y', "b": "\\", "c": ":::"}
    attempt, _ = read_attempt(body(attributes=extras))
    assert attempt.attributes == extras


@pytest.mark.parametrize(
    ("data", "field", "problem"),
    [
        (b"{}", "attempt_id", "is required"),
        (body(merchant={}), "merchant.id", "is required"),
        (body(tier="new"), "tier", "is not a field of this resource"),
        (body(merchant={"id": "m", "tier": 1}), "merchant.tier", "is not a field of this resource"),
        (also(b'"od`d": 1'), "od`d", "is not a field of this resource"),
        (body(merchant="mer_1"), "merchant", "Expected `object`, got `str`"),
        (body(attributes={"Name": 1}), "attributes", "Expected `str` matching"),
        (body(attributes={"name": None}), "attributes", "Expected `bool | float | str`"),
        (also(b'"attributes": {"a": 1e400}'), "attributes", "out of range"),
        (b"[]", "body", "Expected `object`, got `array`"),
        (body(occurred_at="2026-02-30T00:00:00Z"), "occurred_at", "is not a time that exists"),
        (body(occurred_at="2026-01-01T24:00:00Z"), "occurred_at", "is not a time that exists"),
        (body(occurred_at="2026-01-01T00:00:00+24:00"), "occurred_at", "is not a time that"),
    ],
)
def test_the_field_that_is_wrong_is_named_and_the_problem_said(data, field, problem):
    found = problems_of(data)
    assert list(found) == [field]
    assert problem in found[field]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("attempt_id", {"attempt_id": PAN}),
        ("instrument.token", {"instrument": {"token": PAN}}),
        ("merchant.id", {"merchant": {"id": PAN}}),
        ("merchant.terminal_id", {"merchant": {"id": "m", "terminal_id": PAN}}),
        ("customer.id", {"customer": {"id": PAN}}),
        ("customer.email_hash", {"customer": {"email_hash": PAN}}),
        ("customer.phone_hash", {"customer": {"phone_hash": PAN}}),
        ("device.id", {"device": {"id": PAN}}),
        ("network.ip_hash", {"network": {"ip_hash": PAN}}),
        ("attributes", {"attributes": {f"card_{PAN}": True}}),
    ],
)
def test_a_card_number_as_an_identity_is_refused_and_not_repeated(field, fields):
    found = problems_of(body(**fields))
    assert list(found) == [field]
    assert PAN not in found[field]


@pytest.mark.parametrize(
    "fields",
    [
        {"instrument": {"token": "tok_12345", "brand": PAN}},
        {"transaction": {"wallet": f"wallet {PAN}"}},
        {"customer": {"email_domain": PAN}},
        {"customer": {"loyalty_tier": PAN}},
        {"device": {"kind": PAN, "os": PAN, "browser": PAN, "language": PAN}},
        {"basket": {"category": PAN}},
        {"attributes": {"note": f"card {PAN}"}},
        {"attributes": {"number": int(PAN)}},
    ],
)
def test_a_card_number_in_free_text_is_redacted_in_attempt_and_canonical_form(fields):
    attempt, canonical = read_attempt(body(**fields))
    assert PAN.encode() not in canonical
    assert "[card …1111]" in canonical.decode()
    assert PAN not in str(attempt)


def test_numbers_and_bools_among_the_attributes_keep_their_values():
    extras = {"visits": 3.0, "member": True, "micros": 1_783_459_200_000_000.0, "ratio": -0.5}
    attempt, _ = read_attempt(body(attributes=extras))
    assert attempt.attributes == extras


@pytest.mark.parametrize(
    "data",
    [b"", b"\xef\xbb\xbf" + body(), body()[:-1], body() + b"x", also(b'"attributes": {"a": NaN}')],
    ids=["empty", "byte_order_mark", "cut", "trailing", "nan"],
)
def test_what_is_not_json_is_malformed(data):
    with pytest.raises(Malformed, match="not JSON in UTF-8"):
        read_attempt(data)


@pytest.mark.parametrize(("header", "asked_ms"), [(None, None), (b"20", 20), (b" 100 ", 100)])
def test_a_deadline_within_its_bounds_is_taken(header, asked_ms):
    assert read_deadline_ms(header) == asked_ms


@pytest.mark.parametrize(
    "header", [b"", b"19", b"101", b"-50", b"5e1", b"50.0", b"\xb2\xb2", b"9" * 5_000]
)
def test_any_other_deadline_is_refused(header):
    with pytest.raises(Malformed, match="X-Deadline-Ms"):
        read_deadline_ms(header)


@pytest.mark.parametrize(("header", "count"), [(None, 0), (b"0", 0), (b"12", 12)])
def test_a_retry_says_how_often(header, count):
    assert read_retry(header) == count


@pytest.mark.parametrize("header", [b"", b"-1", b"once", b"1000"])
def test_any_other_retry_is_refused(header):
    with pytest.raises(Malformed, match="X-Attempt-Retry"):
        read_retry(header)


TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", (TRACE, SPAN)),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes-later", (TRACE, SPAN)),
        (None, None),
        ("", None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        ("nonsense", None),
    ],
)
def test_a_trace_is_read_where_there_is_one_and_never_an_error(header, trace):
    assert read_trace(None if header is None else header.encode()) == trace
