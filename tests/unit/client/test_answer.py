"""An answer counts only where a region gave it to this very attempt."""

from __future__ import annotations

import msgspec
import pytest

from app.record.token import Claims, TokenSigner
from stepdown_client.answer import read_answer
from stepdown_client.attempt import body_hash
from stepdown_client.errors import ForgedError, ServerError

SIGNER = TokenSigner(b"s" * 32)
KEY = SIGNER.answer_key("acme")
BODY = b'{"attempt_id":"a1"}'
NOW_S = 1_000.0


def answered(*, signer=SIGNER, tenant="acme", body=BODY, expires_s=2_000, signed=None, **fields):
    said = {
        "decision_id": "dec_1",
        "attempt_id": "a1",
        "action": "approve",
        "rung": "full",
        **fields,
    }
    claims = {**said, **(signed or {})}
    token = signer.sign(
        Claims(
            claims["decision_id"],
            claims["attempt_id"],
            body_hash(body),
            claims["action"],
            expires_s,
        ),
        tenant=tenant,
    )
    return msgspec.json.encode({**said, "token": token})


def read(content, key=KEY, body=BODY):
    return read_answer(
        content, attempt_id="a1", body=body, body_hash=body_hash(body), key=key, now_s=NOW_S
    )


def test_a_region_s_answer_is_taken_as_signed():
    answer = read(answered(score=0.25, colour="of a later release"))
    assert (answer.action, answer.score, answer.signed) == ("approve", 0.25, True)


@pytest.mark.parametrize(
    "content",
    [
        answered(signer=TokenSigner(b"t" * 32)),
        answered(tenant="evil"),
        answered(signed={"action": "decline"}),
        answered(signed={"attempt_id": "a2"}),
        answered(signed={"decision_id": "dec_2"}),
        answered(attempt_id="a2"),
        answered(body=b'{"attempt_id":"a1","amount":1}'),
        answered(expires_s=999),
    ],
    ids=["key", "tenant", "action", "attempt", "decision", "to another", "body", "expired"],
)
def test_what_no_region_said_to_this_attempt_is_refused(content):
    with pytest.raises(ForgedError):
        read(content)


@pytest.mark.parametrize("token", ["", "v1..", "v1.e30.x", "\u00e9", "v2.e30.e30"])
def test_what_is_no_token_is_refused(token):
    said = msgspec.json.decode(answered())
    with pytest.raises(ForgedError):
        read(msgspec.json.encode({**said, "token": token}))


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"\xff", b'{"action":"maybe"}'])
def test_what_is_no_decision_is_a_failure_of_the_server(content):
    with pytest.raises(ServerError):
        read(content)


def test_without_a_routing_document_an_answer_is_not_called_signed():
    assert read(answered(), key=None).signed is False
    with pytest.raises(ForgedError):
        read(answered(attempt_id="a2"), key=None)


def test_free_text_that_the_region_redacted_does_not_spoil_the_answer():
    sent = b'{"attempt_id":"a1","basket":{"category":"4111 1111 1111 1111"}}'
    assert read(answered(body=b"redacted"), body=sent).signed
    with pytest.raises(ForgedError):
        read(answered(body=b"redacted"), body=sent.replace(b"4111", b"four"))
