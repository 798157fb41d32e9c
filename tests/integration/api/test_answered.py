"""The API as callers meet it: what the running service takes, answers and keeps."""

from __future__ import annotations

import json

import pytest

from tests.integration.api.setting import EVERYTHING, attempt, look_up, post, text


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
    # On a busy machine a lower rung may have answered; the record leaves out what that has not.
    assert {name: answer.json.get(name) for name in same} == {name: decision[name] for name in same}


@pytest.mark.parametrize(
    "decision_id",
    ["nonsense", "dec_nonsense", "dec_00000000-0000-7000-8000-000000000000", "%00", "dec_%C3%A9"],
)
def test_what_is_not_a_decision_of_this_region_is_not_found(service, decision_id):
    assert look_up(service, decision_id).status == 404
