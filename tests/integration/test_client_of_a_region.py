"""The client library against a real region: verified answers, stand-ins that find their way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.record.decision import decode_record
from app.record.follow_up import decode_follow_up
from app.record.frames import Kind
from app.record.ring_file import wait_until_written
from app.streams.journal_tail import JournalTail
from stepdown_client import CLIENT_DEFAULT, ClientSettings, StepdownClient

CLIENT = Path(__file__).parents[2] / "regions" / "client"


@pytest.fixture
def settings(service):
    return ClientSettings(
        endpoints={service.region: service.api},
        api_key=service.key,
        trusted_keys=service.home / service.region / "journal" / "keyring",
    )


def kept(service, kind):
    folder = service.home / service.region / "journal"
    wait_until_written(folder)
    tail = JournalTail(folder)
    found = []
    while records := tail.read(1_000):
        found += [record.payload for record in records if record.kind is kind]
    return found


async def test_a_region_s_answer_is_verified_and_repeated(service, settings):
    body = service.sample(0)
    async with StepdownClient(settings) as client:
        first, again = await client.decide(body), await client.decide(body)
        stats = client.stats()
    assert first.signed
    assert (first.region, first.rung) == (service.region, "full")
    assert again.decision_id == first.decision_id
    assert (stats.answered, stats.unsigned, stats.routing_version) == (2, 0, 0)


async def test_the_document_names_the_tiers_of_the_merchants_that_were_asked_about(
    service, settings
):
    body = service.sample(0)
    async with StepdownClient(settings) as client:
        await client.decide(body)
        await client._chores.refresh()
        routing = client._table.routing
    tier = routing.merchants[body["merchant"]["id"]]
    assert tier != "unknown"
    assert routing.tiers.keys() == {tier, "unknown"}
    assert routing.regions.keys() == {service.region}


async def test_a_stand_in_is_recorded_once_and_replaces_what_the_region_decided(service, settings):
    body = service.sample(0)
    status, lost = service.post(body)  # the region decides, and its answer gets lost
    assert status == 200
    async with StepdownClient(settings) as client:
        works, client._transport.post = client._transport.post, _nothing_answers
        answer = await client.decide(body, deadline_ms=200)
        assert answer.rung == CLIENT_DEFAULT
        assert answer.reasons[0].code in {"STANDING_POLICY", "CLIENT_ATTEMPT_CAP"}
        client._transport.post = works
        assert await client.wait_posted_back(timeout_s=5)
        assert client.stats().posted_back == 1
    made = [
        record
        for record in map(decode_record, kept(service, Kind.DECISION))
        if record.attempt_id == body["attempt_id"]
    ]
    made.sort(key=lambda record: record.received_ms)  # each worker has a journal
    assert [record.rung for record in made] == [lost["rung"], CLIENT_DEFAULT]
    assert made[1].action == answer.action
    assert made[1].merchant == made[0].merchant
    outcomes = map(decode_follow_up, kept(service, Kind.OUTCOME))
    superseded = [one for one in outcomes if one.decision_id == lost["decision_id"]]
    assert [json.loads(one.body)["kind"] for one in superseded] == ["superseded"]
    assert service.post(body)[1]["action"] == answer.action


async def _nothing_answers(*_, **__):
    from stepdown_client.errors import ConnectError

    raise ConnectError("the network is away")


def test_history_and_replay_take_a_stand_in_for_what_it_is(service, stepdown):
    done = stepdown("audit", "replay", "--sample", "1000", "--json", home=service.home)
    assert done.returncode == 0, done.stderr
    stood_in = [
        record
        for record in map(decode_record, kept(service, Kind.DECISION))
        if record.rung == CLIENT_DEFAULT
    ]
    refused = stepdown("audit", "replay", stood_in[0].decision_id, home=service.home)
    assert refused.returncode == 2
    assert "decided by a client" in refused.stderr


def test_decide_asks_as_a_checkout_does(service, stepdown, tmp_path):
    path = tmp_path / "attempt.json"
    path.write_text(json.dumps(service.sample(1)))
    words = (str(path), "--amount", "1234", "--client-deadline", "900", "--json")
    done = stepdown("decide", *words, home=service.home, port_base=service.port)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["signed"], answer["region"]) == (True, service.region)
    assert answer["elapsed_ms"] < 900


def test_decide_stands_in_when_told_and_posts_back_with_the_next_attempt(fresh_service, stepdown):
    home, port = fresh_service.home, fresh_service.port
    words = ("decide", "1", "--json", "--client-default")
    assert stepdown(*words, home=home, port_base=port).returncode == 0
    assert stepdown("down", home=home).returncode == 0
    away = stepdown(*words, home=home, port_base=port)
    assert away.returncode == 0, away.stderr
    answer = json.loads(away.stdout)
    assert (answer["rung"], answer["signed"]) == (CLIENT_DEFAULT, False)
    assert answer["policy_version"] == 1  # of the document that was kept
    assert stepdown("up", "--json", home=home, port_base=port).returncode == 0
    assert stepdown(*words, home=home, port_base=port).returncode == 0
    made = {record.attempt_id for record in map(decode_record, kept(fresh_service, Kind.DECISION))}
    assert answer["attempt_id"] in made


def test_the_example_of_the_readme_runs(service, tmp_path):
    text = (CLIENT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace("http://127.0.0.1:18000", service.api)
    code = code.replace('".stepdown', f'"{service.home}')
    script = tmp_path / "example.py"
    script.write_text(code)
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": str(CLIENT), "STEPDOWN_API_KEY": service.key},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"(approve|step_up|decline) by full in us-east-1, signed", done.stdout)
    assert time.monotonic() - started_s < 20
