"""The API as callers meet it: the running service over HTTP, asked well and badly."""

from __future__ import annotations

import gzip
import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from app.api.auth import Scope, add_key
from app.api.docs import openapi

DECISIONS = "/v1/decisions"
FOLLOWED_S = 10.0  # longest wait for a changed file to be in force, on a busy machine
POLLS_S = 2.0  # several polls of the disk by a scorer
PUSH_S = 1.0  # between two pushes of a scorer's counts
PUSHED_S = 10.0  # longest wait for a decision to be in the metrics

T = TypeVar("T")

EVERYTHING: dict[str, Any] = {
    "occurred_at": "2026-07-01T12:30:00.250+02:00",
    "amount": {"value": 4_999, "currency": "EUR"},
    "merchant": {"id": "mer_1", "terminal_id": "ter_1"},
    "instrument": {
        "token": "tok_everything",
        "bin": "40844876",
        "brand": "visa",
        "funding": "debit",
        "issuer_country": "DE",
        "expires": "2029-11",
        "network_token": True,
    },
    "transaction": {
        "kind": "payment",
        "channel": "ecommerce",
        "entry_mode": "on_file",
        "wallet": "some wallet",
        "initiator": "customer",
        "instalments": 3,
        "three_ds": {"version": "2.2.0", "status": "Y", "eci": "05", "liability_shift": True},
        "avs": "match",
        "cvv": "not_provided",
    },
    "customer": {
        "id": "cus_1",
        "account_created_at": "2020-02-29T00:00:00Z",
        "email_hash": "9f86d081884c7d659a2feaa0c55ad015",
        "email_domain": "example.org",
        "phone_hash": "60303ae22b998861bce3b28f33eec1be",
        "loyalty_tier": "gold",
    },
    "device": {
        "id": "dev_1",
        "kind": "phone",
        "os": "ios",
        "browser": "safari",
        "language": "de-DE",
        "timezone_offset_min": -120,
        "emulator": False,
    },
    "network": {"ip_hash": "ip_1", "ip_country": "DE", "ip_asn": 64_561, "proxy": False},
    "address": {
        "billing_country": "DE",
        "shipping_country": "AT",
        "shipping_matches_billing": False,
        "delivery": "physical",
    },
    "basket": {"items": 2, "gift_cards": False, "category": "books"},
    "attributes": {"campaign": "Sommerschluß 50 %", "visits": 3, "score": -0.5, "member": True},
    "step_up_available": True,
}


@dataclass
class Answer:
    """A response, read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


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


def attempt(**fields: Any) -> dict[str, Any]:
    return {
        "attempt_id": f"att_{secrets.token_urlsafe(9)}",
        "amount": {"value": 2_000, "currency": "USD"},
        "merchant": {"id": "mer_1"},
        "instrument": {"token": f"tok_{secrets.token_urlsafe(9)}"},
        **fields,
    }


def text(**fields: Any) -> bytes:
    return json.dumps(attempt(**fields)).encode()


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


def call(
    base: str,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str | None] | None = None,
) -> Answer:
    """Ask once over a connection of its own; a header that is None is left out."""
    address = urlsplit(base)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=5)) as client:
        client.request(
            method, path, body, {name: v for name, v in (headers or {}).items() if v is not None}
        )
        response = client.getresponse()
        named = {name.lower(): v for name, v in response.getheaders()}
        return Answer(response.status, named, response.read())


def post(service, body: bytes | Iterable[bytes], **headers: str | None) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    base = {"Content-Type": "application/json", "X-Api-Key": service.key}
    return call(service.api, "POST", DECISIONS, body, base | named)


def look_up(service, decision_id: str, key: str | None = None) -> Answer:
    key = service.key if key is None else key
    return call(service.api, "GET", f"{DECISIONS}/{decision_id}", headers={"X-Api-Key": key})


def eventually(check: Callable[[], bool], within_s: float) -> bool:
    give_up_s = time.monotonic() + within_s
    while not (held := check()) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    return held


def in_every_worker(check: Callable[[], bool]) -> bool:
    """Whether a change on disk is in force in time.

    Each call may reach another worker, or the same one every time; so the others get as long as
    some polls of the disk take, once one has followed.
    """
    if not eventually(lambda: all(check() for _ in range(12)), FOLLOWED_S):
        return False
    time.sleep(POLLS_S)
    return eventually(lambda: all(check() for _ in range(12)), FOLLOWED_S)


def settled(read: Callable[[], T]) -> T:
    """What is read once everything from before has been pushed."""
    now = read()
    while True:
        time.sleep(PUSH_S * 1.3)
        before, now = now, read()
        if now == before:
            return now


def assert_problem(answer: Answer, status: int, *, instance: str = DECISIONS) -> dict[str, Any]:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert {"type", "title", "status", "detail", "instance"} <= problem.keys()
    assert problem["status"] == status
    assert problem["instance"] == instance
    assert problem["type"].startswith("/docs/problems#")
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.fixture(scope="module")
def keys(service):
    """Keys of fewer rights, and one of another tenant, added while the service runs."""
    path = service.home / "keys.json"
    made = {
        "label": add_key(path, tenant="demo", scopes=[Scope.LABEL]),
        "decide": add_key(path, tenant="demo", scopes=[Scope.DECIDE]),
        "other_tenant": add_key(path, tenant="other", scopes=[Scope.READ]),
    }
    assert in_every_worker(lambda: look_up(service, "dec_x", made["other_tenant"]).status == 404)
    return made


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


def test_a_key_without_the_scope_may_not_decide(service, keys):
    assert_problem(post(service, text(), X_Api_Key=keys["label"]), 403)


def test_a_key_without_the_scope_may_not_read(service, keys):
    decided = post(service, text(), X_Api_Key=keys["decide"]).json["decision_id"]
    answer = look_up(service, decided, keys["decide"])
    assert_problem(answer, 403, instance=f"{DECISIONS}/{decided}")


def test_a_key_is_taken_up_without_a_restart(service):
    key = add_key(service.home / "keys.json", tenant="demo", scopes=[Scope.DECIDE])
    assert in_every_worker(lambda: post(service, text(), X_Api_Key=key).status == 200)
    assert post(service, text()).status == 200


def test_the_smallest_attempt_is_decided(service):
    body = attempt()
    answer = post(service, json.dumps(body).encode())
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    decision = answer.json
    assert decision["attempt_id"] == body["attempt_id"]
    assert decision["action"] in {"approve", "step_up", "decline"}
    assert decision["region"] == service.region
    assert decision["took_ms"] < 1_000


def test_an_attempt_with_every_field_is_decided_and_recorded_as_sent(service):
    body = attempt(**EVERYTHING)
    answer = post(service, json.dumps(body).encode())
    assert answer.status == 200
    record = look_up(service, answer.json["decision_id"]).json
    sent = {name: of for name, of in body.items() if name != "step_up_available"}  # the default
    assert record["request"] == sent


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_optional_part_may_come_alone(service, name):
    assert post(service, text(**{name: EVERYTHING[name]})).status == 200


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("shortest_deadline", {"X_Deadline_Ms": "20"}),
        ("longest_deadline", {"X_Deadline_Ms": "100"}),
        ("retry", {"X_Attempt_Retry": "2"}),
        ("charset", {"Content_Type": 'Application/JSON; charset="UTF-8"'}),
        ("identity_encoding", {"Content_Encoding": "identity"}),
        ("trace", {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}),
    ],
)
def test_a_header_that_is_allowed_does_not_stand_in_the_way(service, name, headers):
    assert post(service, text(), **headers).status == 200


def test_a_body_in_chunks_is_read(service):
    body = text()
    assert post(service, [body[:10], body[10:20], body[20:]]).status == 200


def test_a_card_number_in_free_text_is_redacted_and_the_decision_goes_on(service):
    answer = post(service, text(attributes={"note": "paid with 4111 1111 1111 1111 12/29"}))
    assert answer.status == 200
    record = look_up(service, answer.json["decision_id"])
    assert record.json["request"]["attributes"]["note"] == "paid with [card …1111] 12/29"


def test_a_decision_can_be_looked_up(service):
    decision = post(service, text()).json
    answer = look_up(service, decision["decision_id"])
    assert answer.status == 200
    same = ("decision_id", "attempt_id", "action", "score", "rung", "not_higher", "model")
    assert {name: answer.json[name] for name in same} == {name: decision[name] for name in same}


@pytest.mark.parametrize(
    "decision_id",
    ["nonsense", "dec_nonsense", "dec_00000000-0000-7000-8000-000000000000", "%00", "dec_%C3%A9"],
)
def test_what_is_not_a_decision_of_this_region_is_not_found(service, decision_id):
    assert look_up(service, decision_id).status == 404


def test_another_tenant_s_decision_is_not_found(service, keys):
    decision_id = post(service, text()).json["decision_id"]
    assert look_up(service, decision_id).status == 200
    answer = look_up(service, decision_id, keys["other_tenant"])
    assert_problem(answer, 404, instance=f"{DECISIONS}/{decision_id}")


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


def test_it_is_alive_and_ready_on_both_listeners(service):
    for base in (service.api, service.operations):
        assert call(base, "GET", "/livez").json == {"status": "alive"}
        ready = call(base, "GET", "/readyz")
        assert ready.status == 200
        assert list(ready.json["rungs"]) == ["full", "batch", "rules", "tier_default"]
        assert ready.json["refused"] == {}


def test_a_live_service_says_that_it_is_no_replay(service):
    assert call(service.api, "GET", "/readyz").json["replay"] is False


def test_decisions_are_counted_by_rung(service):
    before = settled(lambda: decided_by_rung(service))
    rungs = [post(service, text()).json["rung"] for _ in range(5)]
    wanted = {rung: count + rungs.count(rung) for rung, count in before.items()}
    assert eventually(lambda: decided_by_rung(service) == wanted, PUSHED_S)


def test_refusals_are_counted_by_status(service):
    series = 'stepdown_requests_refused_total{status="415"}'
    before = metric(service, series)
    post(service, text(), Content_Type="text/plain")
    assert eventually(lambda: metric(service, series) > before, PUSHED_S)


def test_the_documentation_comes_as_data_and_as_a_page(service):
    document = call(service.api, "GET", "/openapi.json")
    assert document.json == openapi()
    page = call(service.api, "GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert b"<script" not in page.body
    problem = assert_problem(post(service, b"[]"), 422)
    path, _, anchor = problem["type"].partition("#")
    assert f"id='{anchor}'".encode() in call(service.api, "GET", path).body


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


def metric(service, *parts: str) -> float:
    """The sum of the series that hold all of these parts."""
    lines = call(service.operations, "GET", "/metrics").body.decode().splitlines()
    found = [line for line in lines if all(part in line for part in parts)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def decided_by_rung(service) -> dict[str, float]:
    rungs = ("full", "batch", "rules", "tier_default")
    return {rung: metric(service, "stepdown_decisions_total{", f'rung="{rung}"') for rung in rungs}
