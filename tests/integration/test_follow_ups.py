"""Outcomes and labels over HTTP: kept in the journal, once for each id, for the right region."""

import http.client
import json
import secrets

import pytest

from app.ids import DecisionIds
from app.record.follow_up import decode_follow_up
from app.record.frames import Kind
from app.record.ring_file import wait_until_written
from app.streams.journal_tail import JournalTail

WHEN = "2026-11-22T10:00:00Z"


@pytest.fixture
def send(service):
    def post(path, body, key=None):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
        try:
            connection.request(
                "POST",
                path,
                json.dumps(body),
                {"Content-Type": "application/json", "X-Api-Key": key or service.key},
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    return post


@pytest.fixture
def decision(service):
    status, answer = service.post(service.sample())
    assert status == 200
    return answer


def outcome(**fields):
    made = {"outcome_id": f"out_{secrets.token_hex(6)}", "kind": "authorised", "occurred_at": WHEN}
    return {**made, **fields}


def label(**fields):
    made = {
        "label_id": f"lab_{secrets.token_hex(6)}",
        "label": "fraud",
        "source": "chargeback",
        "event_at": WHEN,
    }
    return {**made, **fields}


def kept(service, kind, id):
    folder = service.home / service.region / "journal"
    wait_until_written(folder)
    tail = JournalTail(folder)
    found = []
    while records := tail.read(1_000):
        found += [decode_follow_up(r.payload) for r in records if r.kind is kind]
    return [follow_up for follow_up in found if follow_up.id == id]


def test_an_outcome_is_in_the_journal_when_it_is_accepted(service, send, decision):
    body = outcome(decision_id=decision["decision_id"])
    status, answer = send("/v1/outcomes", body)
    assert (status, answer["duplicate"], answer["home_region"]) == (202, False, service.region)
    (found,) = kept(service, Kind.OUTCOME, body["outcome_id"])
    assert found.decision_id == decision["decision_id"]
    assert json.loads(found.body) == body


def test_a_label_sent_again_is_accepted_and_kept_once(service, send, decision):
    body = label(decision_id=decision["decision_id"])
    answers = [send("/v1/labels", body) for _ in range(3)]
    assert [status for status, _ in answers] == [202] * 3
    assert [answer["duplicate"] for _, answer in answers] == [False, True, True]
    assert len(kept(service, Kind.LABEL, body["label_id"])) == 1


def test_the_same_id_for_something_else_is_a_conflict(send, decision):
    body = label(decision_id=decision["decision_id"])
    send("/v1/labels", body)
    status, problem = send("/v1/labels", {**body, "label": "not_fraud"})
    assert (status, problem["type"]) == (409, "/docs/problems#conflict")


def test_a_correction_is_a_further_label_and_order_does_not_matter(service, send, decision):
    late = label(decision_id=decision["decision_id"], label="withdrawn", event_at=WHEN)
    early = label(decision_id=decision["decision_id"], event_at="2026-01-01T00:00:00Z")
    for body in (late, early):
        assert send("/v1/labels", body)[0] == 202
        assert len(kept(service, Kind.LABEL, body["label_id"])) == 1


def test_what_concerns_another_region_is_kept_for_that_region(service, send):
    elsewhere = DecisionIds(region=1, writer=3).new()
    body = outcome(decision_id=elsewhere)
    status, answer = send("/v1/outcomes", body)
    assert (status, answer["home_region"]) == (202, "eu-west-1")
    assert kept(service, Kind.OUTCOME, body["outcome_id"])[0].home == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/outcomes", outcome(), "decision_id"),
        ("/v1/outcomes", outcome(decision_id="dec_nonsense"), "decision_id"),
        ("/v1/outcomes", outcome(attempt_id="a", kind="eaten"), "kind"),
        ("/v1/outcomes", outcome(attempt_id="a", occurred_at="yesterday"), "occurred_at"),
        ("/v1/outcomes", outcome(attempt_id="4111111111111111"), "attempt_id"),
        ("/v1/labels", label(attempt_id="a", label_id="4111111111111111"), "label_id"),
        ("/v1/labels", label(attempt_id="a", source="rumour"), "source"),
        ("/v1/labels", label(attempt_id="a", event_at="2026-02-30T00:00:00Z"), "event_at"),
        ("/v1/labels", label(attempt_id="a", colour="red"), "colour"),
    ],
)
def test_a_mistake_names_its_field(send, path, body, field):
    status, problem = send(path, body)
    assert status == 422
    assert problem["errors"][0]["field"] == field


def test_a_key_without_the_scope_is_refused(service, send):
    assert send("/v1/labels", label(attempt_id="a"), key="sk_no_such")[0] == 401


def test_an_attempt_sent_again_gets_the_very_same_decision(service):
    body = service.sample()
    (first_status, first), (again_status, again) = service.post(body), service.post(body)
    assert first_status == again_status == 200
    assert first == again
    changed = {**body, "amount": {**body["amount"], "value": body["amount"]["value"] + 1}}
    status, problem = service.post(changed)
    assert (status, problem["title"]) == (409, "Id used for another body")
