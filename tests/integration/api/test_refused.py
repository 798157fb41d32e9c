"""Requests that cannot be answered: each gets a problem that says why, and the service lives."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.api.setting import DECISIONS, assert_problem, call, post, text


@dataclass
class Case:
    """A request that has to be refused, and how."""

    name: str
    status: int
    body: bytes | Iterable[bytes] = b""
    names: str | None = None  # the field that the problem names
    method: str = "POST"
    path: str = DECISIONS
    headers: dict[str, str | None] = field(default_factory=dict)
    allow: str | None = None


def also(raw: bytes) -> bytes:
    """A good attempt with something raw added at its end."""
    return text()[:-1] + b", " + raw + b"}"


def value(raw: bytes) -> bytes:
    """An attempt whose amount is written in a way that no encoder would choose."""
    return text().replace(b'"value": 2000', b'"value": ' + raw)


def token(number: str) -> dict[str, str]:
    return {"token": number}


def shape(name: str, names: str, **fields: Any) -> Case:
    return Case(name, 422, text(**fields), names=names)


def unreadable(name: str, body: bytes) -> Case:
    return Case(name, 400, body)


def header(name: str, status: int, **headers: str | None) -> Case:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Case(name, status, text(), headers=named)


PAN = "4111111111111111"
LARGE = {"attributes": {f"a{number}": "x" * 250 for number in range(64)}}
CASES = [
    shape("attempt_id_is_a_number", "attempt_id", attempt_id=7),
    shape("attempt_id_is_empty", "attempt_id", attempt_id=""),
    shape("attempt_id_of_65_characters", "attempt_id", attempt_id="a" * 65),
    shape("attempt_id_with_a_blank", "attempt_id", attempt_id="a b"),
    shape("attempt_id_with_a_line_break_at_its_end", "attempt_id", attempt_id="a1\n"),
    shape("attempt_id_is_not_ascii", "attempt_id", attempt_id="ä1"),
    shape("amount_is_a_number", "amount", amount=2_000),
    shape("amount_is_null", "amount", amount=None),
    shape("amount_without_a_currency", "amount.currency", amount={"value": 1}),
    shape("value_is_a_string", "amount.value", amount={"value": "1", "currency": "USD"}),
    shape("value_is_a_bool", "amount.value", amount={"value": True, "currency": "USD"}),
    shape("value_is_negative", "amount.value", amount={"value": -1, "currency": "USD"}),
    shape("value_of_2_to_53", "amount.value", amount={"value": 2**53, "currency": "USD"}),
    Case("value_has_decimals", 422, value(b"19.99"), names="amount.value"),
    Case("value_is_written_as_a_float", 422, value(b"2e3"), names="amount.value"),
    Case("value_has_a_huge_exponent", 422, value(b"1e400"), names="amount.value"),
    shape("currency_in_small_letters", "amount.currency", amount={"value": 1, "currency": "usd"}),
    shape("merchant_is_a_string", "merchant", merchant="mer_1"),
    shape("merchant_id_is_null", "merchant.id", merchant={"id": None}),
    shape("instrument_is_an_array", "instrument", instrument=[]),
    shape("token_is_too_short", "instrument.token", instrument=token("tok_123")),
    shape("token_is_too_long", "instrument.token", instrument=token("t" * 65)),
    shape("bin_of_7_digits", "instrument.bin", instrument={**token("tok_12345"), "bin": "4084487"}),
    shape("occurred_at_without_a_zone", "occurred_at", occurred_at="2026-07-01T12:30:00"),
    shape("occurred_at_is_no_day", "occurred_at", occurred_at="2026-02-30T12:30:00Z"),
    shape("occurred_at_is_null", "occurred_at", occurred_at=None),
    shape("channel_is_not_a_known_one", "transaction.channel", transaction={"channel": "fax"}),
    shape("no_instalments", "transaction.instalments", transaction={"instalments": 0}),
    shape("proxy_is_a_string", "network.proxy", network={"proxy": "no"}),
    shape("step_up_available_is_a_number", "step_up_available", step_up_available=1),
    shape("65_attributes", "attributes", attributes={f"a{n}": n for n in range(65)}),
    shape("attribute_name_with_a_capital", "attributes", attributes={"Campaign": "x"}),
    shape("attribute_is_null", "attributes", attributes={"campaign": None}),
    shape("attribute_is_an_array", "attributes", attributes={"campaign": [1]}),
    shape("attribute_of_257_characters", "attributes", attributes={"campaign": "x" * 257}),
    Case("attribute_of_1e400", 422, also(b'"attributes": {"a": 1e400}'), names="attributes"),
    shape("unknown_field", "merchant_tier", merchant_tier="strategic"),
    shape("unknown_nested_field", "merchant.tier", merchant={"id": "mer_1", "tier": "new"}),
    Case("not_an_object", 422, b"[]", names="body"),
    Case("null_as_a_body", 422, b"null", names="body"),
    Case("ten_thousand_open_arrays", 422, b"[" * 10_000, names="body"),
    Case("two_thousand_open_objects", 422, b'{"a":' * 2_000, names="a"),
    Case("ten_thousand_open_objects", 413, b'{"a":' * 10_000),
    Case(
        "deep_in_attributes", 422, also(b'"attributes": {"a": ' + b"[" * 9_000), names="attributes"
    ),
    shape("pan_as_token", "instrument.token", instrument=token(PAN)),
    shape("pan_as_customer_id", "customer.id", customer={"id": f"cus_{PAN}"}),
    shape("pan_with_dashes_as_attempt_id", "attempt_id", attempt_id="4111-1111-1111-1111"),
    shape("pan_as_attribute_name", "attributes", attributes={f"card_{PAN}": 1}),
    unreadable("empty_body", b""),
    unreadable("truncated", text()[:-1]),
    unreadable("trailing_garbage", text() + b"x"),
    unreadable("two_documents", text() + text()),
    unreadable("single_quotes", b"{'attempt_id': 'a'}"),
    unreadable("nan", also(b'"attributes": {"a": NaN}')),
    unreadable("infinity", also(b'"attributes": {"a": -Infinity}')),
    unreadable("invalid_utf_8", text().replace(b"att_", b"att\xff")),
    unreadable("overlong_utf_8", also(b'"attributes": {"a": "\xc0\x80"}')),
    unreadable("utf_16", text().decode().encode("utf-16")),
    unreadable("byte_order_mark", b"\xef\xbb\xbf" + text()),
    unreadable("lone_high_surrogate", also(rb'"attributes": {"a": "\ud800"}')),
    unreadable("lone_low_surrogate", also(rb'"attributes": {"a": "\udc00 "}')),
    unreadable("control_character", also(b'"attributes": {"a": "x\x01"}')),
    unreadable("key_twice", also(b'"attempt_id": "other"')),
    unreadable("nested_key_twice", value(b'1, "value": 2')),
    unreadable("key_twice_hidden_by_an_escape", also(rb'"attempt\u005fid": "other"')),
    unreadable("attribute_twice", also(b'"attributes": {"a": 1, "a": 2}')),
    Case("body_over_16_kib", 413, text(**LARGE)),
    Case("body_over_16_kib_in_chunks", 413, [text(**LARGE)[:9_000], text(**LARGE)[9_000:]]),
    header("no_content_type", 415, Content_Type=None),
    header("form_content_type", 415, Content_Type="application/x-www-form-urlencoded"),
    header("latin_1_charset", 415, Content_Type="application/json; charset=latin-1"),
    Case("compressed", 415, gzip.compress(text()), headers={"Content-Encoding": "gzip"}),
    header("no_key", 401, X_Api_Key=None),
    header("wrong_key", 401, X_Api_Key="sk_00000000_wrong"),
    header("key_of_no_shape", 401, X_Api_Key="é"),
    header("deadline_of_19_ms", 400, X_Deadline_Ms="19"),
    header("deadline_of_101_ms", 400, X_Deadline_Ms="101"),
    header("deadline_is_not_a_number", 400, X_Deadline_Ms="abc"),
    header("deadline_twice", 400, X_Deadline_Ms="50", x_deadline_ms="60"),
    header("negative_retry", 400, X_Attempt_Retry="-1"),
    header("retry_twice", 400, X_Attempt_Retry="1", x_attempt_retry="1"),
    Case("get_of_decisions", 405, method="GET", allow="POST"),
    Case("put_of_a_decision", 405, text(), method="PUT", path=f"{DECISIONS}/dec_1", allow="GET"),
    Case("post_of_livez", 405, method="POST", path="/livez", allow="GET"),
    Case("unknown_path", 404, method="GET", path="/v2/decisions"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_that_cannot_be_answered_gets_a_problem_that_says_why(service, case):
    base = {"Content-Type": "application/json", "X-Api-Key": service.key}
    answer = call(service.api, case.method, case.path, case.body or None, base | case.headers)
    problem = assert_problem(answer, case.status, instance=case.path)
    if case.status == 422:
        assert [error["field"] for error in problem["errors"]] == [case.names]
        assert problem["errors"][0]["problem"] in problem["detail"]
    if case.allow is not None:
        assert answer.headers["allow"] == case.allow
    assert post(service, text()).status == 200


def test_every_field_that_is_wrong_in_meaning_is_named(service):
    body = text(customer={"id": PAN, "account_created_at": "2026-02-30T00:00:00Z"})
    problem = assert_problem(post(service, body), 422)
    fields = [error["field"] for error in problem["errors"]]
    assert fields == ["customer.id", "customer.account_created_at"]


def test_a_problem_never_repeats_a_card_number(service):
    assert PAN.encode() not in post(service, text(instrument=token(PAN))).body


def test_a_line_that_is_not_http_is_refused_and_the_service_lives(service):
    assert b" 400 " in send_raw(service, b"this is not http\r\n\r\n").splitlines()[0]
    assert post(service, text()).status == 200


def test_a_length_that_is_not_a_number_is_refused_and_the_service_lives(service):
    head = f"POST {DECISIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n"
    assert b" 400 " in send_raw(service, head.encode()).splitlines()[0]
    assert post(service, text()).status == 200


def test_a_megabyte_of_headers_is_refused_and_the_service_lives(service):
    head = f"POST {DECISIONS} HTTP/1.1\r\nHost: x\r\nX-Large: {'a' * 2**20}\r\n\r\n"
    reply = send_raw(service, head.encode())
    assert not reply or b" 4" in reply.splitlines()[0]
    assert post(service, text()).status == 200


def test_a_caller_who_hangs_up_within_the_body_does_no_harm(service):
    head = (
        f"POST {DECISIONS} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {service.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    )
    with connect(service) as client:
        client.sendall(head.encode() + text()[:20])
    assert post(service, text()).status == 200


def connect(service) -> socket.socket:
    address = urlsplit(service.api)
    return socket.create_connection((address.hostname, address.port), timeout=5)


def send_raw(service, data: bytes) -> bytes:
    """What comes back first; nothing where the service hung up."""
    with connect(service) as client:
        try:
            client.sendall(data)
            return client.recv(4_096)
        except ConnectionError:
            return b""
