"""Client and service write an attempt in the same bytes, and mean the same by the rest."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import wire
from app.api.reading import read_attempt
from app.record import reasons
from app.record import token as service_token
from app.routing import MERCHANTS_MAX
from app.routing import Routing as ServiceRouting
from stepdown_client import attempt as client
from stepdown_client.answer import Answer, may_be_redacted
from stepdown_client.chores import MERCHANTS_MAX as CLIENT_MERCHANTS_MAX
from stepdown_client.errors import InvalidAttemptError
from stepdown_client.routing import Routing
from stepdown_client.stand_ins import StandIn
from stepdown_client.standing import TEXTS

BODY = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345678"},
}


def schema(of):
    return msgspec.json.schema_components([of], ref_template="{name}")[1]


def test_an_attempt_has_the_same_schema_on_both_sides():
    assert schema(client.Attempt) == schema(wire.Attempt)


@given(
    extras=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True),
        st.integers(-1_000, 1_000)
        | st.floats(allow_nan=False, allow_infinity=False, width=32)
        | st.booleans()
        | st.text(alphabet='abc é"\\', max_size=8),
        max_size=5,
    ),
    parts=st.lists(
        st.sampled_from(["transaction", "customer", "device", "network", "address"]), unique=True
    ),
    step_up=st.booleans(),
)
def test_the_service_hashes_the_very_bytes_that_the_client_sends(extras, parts, step_up):
    body = {**BODY, "attributes": extras, "step_up_available": step_up, **{p: {} for p in parts}}
    _, sent = client.canonical(body)
    _, canonical = read_attempt(sent)
    if not may_be_redacted(sent):
        assert canonical == sent
        assert service_token.body_hash(canonical) == client.body_hash(sent)


@pytest.mark.parametrize(
    "extra", ["4111 1111 1111 1111", "call 4111-1111-1111-1111 now", 4_111_111_111_111_111.0, 5e15]
)
def test_what_the_service_may_redact_is_known_to_the_client(extra):
    _, sent = client.canonical({**BODY, "attributes": {"note": extra}})
    assert may_be_redacted(sent)


@given(st.floats(1e12, 1e20) | st.integers(10**12, 10**19).map(float))
def test_no_number_is_redacted_that_the_client_takes_for_harmless(number):
    _, sent = client.canonical({**BODY, "attributes": {"note": number}})
    assert may_be_redacted(sent) or read_attempt(sent)[1] == sent


def test_the_routing_document_is_read_as_it_is_written():
    written = {field.name for field in msgspec.structs.fields(ServiceRouting)}
    assert {field.name for field in msgspec.structs.fields(Routing)} == written - {"v"}
    assert CLIENT_MERCHANTS_MAX <= MERCHANTS_MAX


def test_an_answer_has_every_field_of_a_decision():
    decision = {field.name for field in msgspec.structs.fields(wire.Decision)}
    assert decision <= {field.name for field in msgspec.structs.fields(Answer)}


def test_a_stand_in_is_one_of_the_service_and_its_reasons_read_alike():
    assert [field.name for field in msgspec.structs.fields(StandIn)] == [
        field.name for field in msgspec.structs.fields(wire.StandIn)
    ]
    for code, text in TEXTS.items():
        assert reasons.CATALOGUE[code].sentence == text
        made = {**BODY, "amount": {"value": 1, "currency": "USD"}}
        stand_in = {
            "attempt": made,
            "action": "step_up",
            "decided_at": "2026-11-22T10:00:00Z",
            "policy_version": 0,
            "reasons": [code],
        }
        assert msgspec.convert(stand_in, wire.StandIn).reasons == (code,)


@pytest.mark.parametrize(
    "wrong", [b"", b"[]", {**BODY, "colour": "red"}, {"attempt_id": "a"}, {**BODY, "basket": 1}]
)
def test_what_is_no_attempt_is_said_before_anything_is_sent(wrong):
    with pytest.raises(InvalidAttemptError, match="no attempt"):
        client.canonical(wrong)
