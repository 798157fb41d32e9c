"""Attempts, and ways to ask the running service over HTTP."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

DECISIONS = "/v1/decisions"
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
