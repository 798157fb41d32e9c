"""The documentation says what the structs say, and the structs what the wire is agreed to be."""

from __future__ import annotations

import re

import msgspec
import pytest

from app.api.docs import openapi, page
from app.api.problem import RequestProblem
from app.api.wire import Accepted, Attempt, Decision, Label, Outcome, Problem, StandIn
from app.routing import Routing, SignedRouting

# The agreed wire: fields and types; `!` marks what is required. It grows by optional fields only.
WIRE = {
    "Attempt": """
        attempt_id! string, occurred_at string, amount! Amount, merchant! Merchant,
        instrument! Instrument, transaction Transaction, customer Customer, device Device,
        network Network, address Address, basket Basket, attributes {number|boolean|string},
        step_up_available boolean
    """,
    "Amount": "value! integer, currency! string",
    "Merchant": "id! string, terminal_id string",
    "Instrument": """
        token! string, bin string, brand string, funding (credit|debit|prepaid|unknown),
        issuer_country string, expires string, network_token boolean
    """,
    "Transaction": """
        kind (payment|verification|recurring|instalment), channel (ecommerce|in_app|moto|pos),
        entry_mode (chip|contactless|magstripe|keyed|on_file|wallet), wallet string,
        initiator (customer|merchant), instalments integer, three_ds ThreeDs,
        avs (match|partial|no_match|unavailable), cvv (match|no_match|not_provided|unavailable)
    """,
    "ThreeDs": "version string, status (Y|N|A|U|C|R|I), eci string, liability_shift boolean",
    "Customer": """
        id string, account_created_at string, email_hash string, email_domain string,
        phone_hash string, loyalty_tier string
    """,
    "Device": """
        id string, kind string, os string, browser string, language string,
        timezone_offset_min integer, emulator boolean
    """,
    "Network": "ip_hash string, ip_country string, ip_asn integer, proxy boolean",
    "Address": """
        billing_country string, shipping_country string, shipping_matches_billing boolean,
        delivery (physical|digital|pickup)
    """,
    "Basket": "items integer, gift_cards boolean, category string",
    "Decision": """
        decision_id! string, attempt_id! string, action! (approve|step_up|decline),
        score! number|null, rung! (full|batch|rules|tier_default|client_default), not_higher! {string},
        reasons! [ReasonText], thresholds! ThresholdsShown|null, model! Model|null,
        policy_version! integer, region! string, as_of! string, feature_age_ms! integer|null,
        took_ms! number, token! string
    """,
    "ReasonText": "code! string, text! string",
    "ThresholdsShown": "step_up! number|null, decline! number",
    "Model": "name! string, version! string, provenance! string",
    "Problem": """
        type! string, title! string, status! integer, detail string, instance string,
        errors [FieldProblem]
    """,
    "FieldProblem": "field! string, problem! string",
    "Outcome": """
        outcome_id! string, decision_id string, attempt_id string, kind! (challenge_passed|
        challenge_failed|challenge_abandoned|authorised|issuer_declined|captured|reversed|refunded|
        superseded), occurred_at! string, issuer_code string, amount Amount
    """,
    "Label": """
        label_id! string, decision_id string, attempt_id string,
        label! (fraud|not_fraud|withdrawn), source! (chargeback|early_alert|review|customer),
        reason_code string, event_at! string, arrived_at string
    """,
    "StandIn": """
        attempt! Attempt, action! (approve|step_up|decline), decided_at! string,
        policy_version! integer, reasons [STANDING_POLICY|CLIENT_ATTEMPT_CAP|
        CLIENT_HOURLY_CAP|CLIENT_WITHOUT_POLICY]
    """,
    "Accepted": "id! string, duplicate! boolean, home_region! string",
    "SignedRouting": "payload! string, key! string, signature! string",
    "Routing": """
        v integer, tenant! string, version! integer, issued_at! integer, expires_at! integer,
        regions! {RegionRoute}, policy_version! integer, rates! {number}, tiers! {TierStanding},
        merchants! {string}, answer_key! string
    """,
    "RegionRoute": "endpoint! string, weight! integer",
    "TierStanding": "bands! [Band], attempt_max! integer, hourly_max! integer",
    "Band": "up_to! integer|null, action! (approve|step_up|decline)",
}

# What the agreed wire says of values beyond their type.
LIMITS = [
    ("Attempt", "attempt_id", {"maxLength": 64}),
    ("Attempt", "attributes", {"maxProperties": 64}),
    ("Attempt", "step_up_available", {"default": True}),
    ("Amount", "value", {"minimum": 0}),
    ("Merchant", "id", {"maxLength": 64}),
    ("Instrument", "token", {"minLength": 8, "maxLength": 64}),
]

SCHEMAS = openapi()["components"]["schemas"]


def agreed(fields):
    """Type by field, and the required ones."""
    parts = [part.split(maxsplit=1) for part in fields.replace("\n", " ").split(",")]
    types = {name.removesuffix("!"): kind.strip() for name, kind in parts}
    required = {name.removesuffix("!") for name, _ in parts if name.endswith("!")}
    return {name: alternatives(kind) for name, kind in types.items()}, required


def alternatives(kind):
    """A type in a form that does not depend on the order of its alternatives."""
    bracketed = re.fullmatch(r"([({\[])(.*)[)}\]]", kind)
    if bracketed:
        return bracketed[1], frozenset(map(str.strip, bracketed[2].split("|")))
    return "", frozenset(kind.split("|"))


def documented(schema):
    """The same of a field's schema."""
    if "enum" in schema:
        return "(", frozenset(schema["enum"])
    if schema.get("type") == "object":
        return "{", documented(schema["additionalProperties"])[1]
    if schema.get("type") == "array":
        return "[", documented(schema["items"])[1]
    if "anyOf" in schema:
        return "", frozenset().union(*(documented(of)[1] for of in schema["anyOf"]))
    return "", frozenset(
        [schema["$ref"].rsplit("/", 1)[-1] if "$ref" in schema else schema["type"]]
    )


def test_the_document_has_the_structs_of_the_wire_and_no_others():
    assert SCHEMAS.keys() == WIRE.keys()


@pytest.mark.parametrize("name", WIRE)
def test_each_struct_has_the_agreed_fields_of_the_agreed_types(name):
    types, required = agreed(WIRE[name])
    schema = SCHEMAS[name]
    assert {field: documented(of) for field, of in schema["properties"].items()} == types
    assert set(schema["required"]) == required


@pytest.mark.parametrize(("name", "field", "limits"), LIMITS)
def test_the_agreed_limits_are_in_the_document(name, field, limits):
    assert limits.items() <= SCHEMAS[name]["properties"][field].items()


@pytest.mark.parametrize("name", ["Attempt", "Amount", "Merchant", "Instrument", "ThreeDs"])
def test_the_document_says_that_unknown_fields_are_refused(name):
    assert SCHEMAS[name]["additionalProperties"] is False


def test_the_document_is_what_the_structs_say():
    _, components = msgspec.json.schema_components(
        (Attempt, Decision, Outcome, Label, StandIn, Accepted, SignedRouting, Routing, Problem),
        ref_template="#/components/schemas/{name}",
    )
    assert msgspec.json.decode(msgspec.json.encode(components)) == SCHEMAS


def test_every_reference_leads_somewhere():
    references = re.findall(rb'"#/components/schemas/([^"]+)"', msgspec.json.encode(openapi()))
    assert {name.decode() for name in references} <= SCHEMAS.keys()


def test_the_post_takes_an_attempt_and_gives_a_decision_or_a_problem():
    post = openapi()["paths"]["/v1/decisions"]["post"]
    responses = post["responses"]
    documents = (
        post["requestBody"]["content"]["application/json"],
        responses["200"]["content"]["application/json"],
        responses["default"]["content"]["application/problem+json"],
    )
    names = [document["schema"]["$ref"].rsplit("/", 1)[-1] for document in documents]
    assert names == ["Attempt", "Decision", "Problem"]


def test_the_page_shows_every_field_and_every_kind_of_problem():
    html = page()
    for schema in SCHEMAS.values():
        for field in schema["properties"]:
            assert f"<code>{field}</code>" in html
    for kind in RequestProblem.__subclasses__():
        assert f"id='{kind.slug}'" in html


def test_the_page_loads_nothing_from_anywhere():
    assert not re.search(r"<(script|link|img|iframe)|https?://|url\(", page())
