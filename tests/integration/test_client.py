"""The client library against servers that lie, hang, refuse and are slow."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime

import pytest

from app.weights import Weights
from stepdown_client import (
    CLIENT_DEFAULT,
    ClientSettings,
    EjectionPolicy,
    RefusedError,
    StepdownClient,
    SyncStepdownClient,
)
from stepdown_client.events import Defaulted, Ejected, Hedged, RoutingRefused


def attempt(number=0, value=1_500):
    return {
        "attempt_id": f"att_{number}",
        "amount": {"value": value, "currency": "USD"},
        "merchant": {"id": "mer_1"},
        "instrument": {"token": "tok_12345678"},
    }


@pytest.fixture
def settings(regions, client_keys, tmp_path):
    def made(**changes):
        given = {
            "endpoints": {region.name: region.url for region in regions},
            "api_key": "sk_1_secret",
            "trusted_keys": client_keys,
            "probe_s": 0.2,
        }
        return ClientSettings(**{**given, **changes})

    return made


async def eventually(true, within_s=3.0):
    ends_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends_s, "it did not happen in time"
        await asyncio.sleep(0.02)


async def paced(client, count, *, every_s, first=0):
    """Decide attempts in open loop."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(client.decide(attempt(first + number))))
        await asyncio.sleep(every_s)
    return await asyncio.gather(*tasks)


async def test_the_first_region_answers_and_its_signature_is_verified(settings, regions):
    async with StepdownClient(settings()) as client:
        answer = await client.decide(attempt())
    assert (answer.action, answer.region, answer.signed) == ("approve", "one", True)
    assert (answer.tries, client.stats().answered) == (1, 1)
    assert regions[0].retries == [None]


@pytest.mark.parametrize("behaviour", ["500", "429", "nonsense", "forge", "other attempt", "401"])
async def test_what_is_no_answer_of_a_region_is_followed_by_another_region(
    settings, regions, behaviour
):
    async with StepdownClient(settings()) as client:
        regions[0].behaviour = behaviour
        answer = await client.decide(attempt())
        assert (answer.region, answer.signed, answer.tries) == ("two", True, 2)
        assert sum(client.stats().regions["one"].failures.values()) == 1
    assert regions[1].retries == ["1"]
    assert regions[0].seen == regions[1].seen == {"att_0": 1}


async def test_a_region_that_refuses_connections_costs_milliseconds(settings, regions):
    async with StepdownClient(settings()) as client:
        await regions[0].stop()
        answer = await client.decide(attempt())
    assert (answer.region, answer.tries) == ("two", 2)
    assert answer.elapsed_ms < 300


async def test_a_black_hole_leaves_time_for_another_region(settings, regions):
    async with StepdownClient(settings()) as client:
        regions[0].behaviour = "hang"
        answer = await client.decide(attempt())
    assert answer.region == "two"
    assert 100 < answer.elapsed_ms < 900


@pytest.mark.parametrize("required", [True, False])
async def test_before_there_is_a_document_answers_count_only_if_the_caller_says_so(
    settings, regions, tmp_path, required
):
    stranger = tmp_path / "no-keys"
    asked = settings(trusted_keys=stranger, require_signed=required)
    async with StepdownClient(asked) as client:
        answer = await client.decide(attempt())
        assert client.stats().routing_refused >= 1
        assert client.stats().unsigned == (not required)
    assert answer.signed is False
    assert (answer.rung == CLIENT_DEFAULT) is required


async def test_an_attempt_that_the_service_refuses_is_the_callers_matter(settings, regions):
    regions[0].behaviour = "good"
    async with StepdownClient(settings()) as client:
        regions[0].behaviour = "409"
        with pytest.raises(RefusedError) as refused:
            await client.decide(attempt())
    assert refused.value.status == 409
    assert regions[1].seen == {}


async def test_a_key_that_no_region_knows_is_said(settings, regions):
    async with StepdownClient(settings()) as client:
        for region in regions:
            region.behaviour = "403"
        with pytest.raises(RefusedError, match="403"):
            await client.decide(attempt())


async def test_when_no_region_answers_the_default_does_and_is_posted_back(
    settings, regions, tmp_path
):
    events = []
    file = tmp_path / "stand-ins.jsonl"
    async with StepdownClient(settings(stand_ins=file), listener=events.append) as client:
        for region in regions:
            await region.stop()
        answer = await client.decide(attempt(1))
        large = await client.decide(attempt(2, value=40_000))
        assert (answer.action, answer.rung, answer.signed) == ("approve", CLIENT_DEFAULT, False)
        assert (large.action, answer.region) == ("step_up", None)
        assert answer.elapsed_ms < 1_100
        again = await client.decide(attempt(1))
        assert again.action == "approve"
        stats = client.stats()
        assert (stats.defaults, stats.waiting, stats.answered) == (2, 2, 0)
        assert [type(event) for event in events].count(Defaulted) == 2
        await regions[2].start()
        returned_s = time.monotonic()
        await eventually(lambda: len(regions[2].stand_ins) == 2)
        assert time.monotonic() - returned_s < 2
        assert client.stats().posted_back == 2
        assert file.read_bytes() == b""
    posted = regions[2].stand_ins["att_1"]
    assert (posted["action"], posted["policy_version"]) == ("approve", 1)


async def test_within_two_seconds_of_the_return_a_region_answers_again(settings, regions):
    async with StepdownClient(settings(deadline_ms=400)) as client:
        for region in regions:
            await region.stop()
        for number in range(150):  # every retry of the budget is spent on the outage
            await client.decide(attempt(number))
        assert client.stats().defaults == 150
        await regions[1].start()
        returned_s = time.monotonic()
        number = 1_000
        while (await client.decide(attempt(number))).rung == CLIENT_DEFAULT:
            number += 1
            await asyncio.sleep(0.02)
        assert time.monotonic() - returned_s < 2


async def test_a_restart_posts_back_what_the_last_run_could_not(settings, regions, tmp_path):
    kept = {"stand_ins": tmp_path / "stand-ins", "routing_cache": tmp_path / "routing"}
    async with StepdownClient(settings(**kept)) as client:
        for region in regions:
            await region.stop()
        await client.decide(attempt(1))
    async with StepdownClient(settings(**kept)) as client:
        second = await client.decide(attempt(2))
        assert second.policy_version == 1  # of the cached document
        await regions[0].start()
        await eventually(lambda: regions[0].stand_ins.keys() == {"att_1", "att_2"})


async def test_a_hedge_saves_a_slow_answer_and_the_other_decision_is_superseded(settings, regions):
    events = []
    async with StepdownClient(settings(), listener=events.append) as client:
        for number in range(30):
            await client.decide(attempt(number))
        regions[0].delay_s = lambda: 0.1
        answer = await client.decide(attempt(99))
        assert answer.region in {"two", "three"}
        assert answer.elapsed_ms < 95
        assert any(isinstance(event, Hedged) for event in events)
        assert client.stats().hedges_won == 1
        await eventually(lambda: regions[0].outcomes)
        assert client.stats().superseded == 1
    (outcome,) = regions[0].outcomes
    assert outcome["kind"] == "superseded"
    assert outcome["decision_id"] != answer.decision_id
    assert [region.seen["att_99"] for region in regions if region.seen["att_99"]] == [1, 1]


async def test_a_report_that_is_sent_again_is_the_same_report(settings, regions):
    async with StepdownClient(settings()) as client:
        for number in range(30):
            await client.decide(attempt(number))
        regions[0].delay_s = lambda: 0.1
        regions[0].outcomes_lost = 1
        await client.decide(attempt(99))
        await eventually(lambda: len(regions[0].outcomes) == 2)
    first, again = regions[0].outcomes
    assert again == first


async def test_a_grey_region_is_ejected_within_five_seconds_and_comes_back(settings, regions):
    events = []
    rng = random.Random(5)
    policy = EjectionPolicy(eject_s=1.0, ramp_s=0.9, jitter=0)
    for region in regions[1:]:
        region.away_s = 0.03
    async with StepdownClient(settings(ejection=policy), listener=events.append) as client:
        await paced(client, 100, every_s=0.01)
        regions[0].delay_s = lambda: 0.2 if rng.random() < 0.3 else 0.0
        began_s = time.monotonic()
        load = asyncio.create_task(paced(client, 400, every_s=0.01, first=1_000))
        await eventually(
            lambda: any(isinstance(e, Ejected) and e.region == "one" for e in events), within_s=5
        )
        assert time.monotonic() - began_s < 5
        assert client.stats().regions["one"].state == "ejected"
        regions[0].delay_s = lambda: 0.0
        answers = await load
        assert all(answer.rung == "full" for answer in answers)
        await eventually(lambda: client.stats().regions["one"].state == "up")
        stats = client.stats()
    assert stats.hedges <= 0.05 * stats.requests + 10
    assert stats.amplification <= 1.2


async def test_a_dead_region_costs_no_answer_and_little_amplification(settings, regions):
    async with StepdownClient(settings()) as client:
        await paced(client, 50, every_s=0.005)
        regions[0].behaviour = "hang"
        answers = await paced(client, 500, every_s=0.005, first=1_000)
        stats = client.stats()
    assert {answer.rung for answer in answers} == {"full"}
    assert max(answer.elapsed_ms for answer in answers) < 1_000
    assert stats.amplification <= 1.2


async def test_a_slow_reply_to_dns_or_none_does_not_cost_known_addresses(
    settings, regions, client_keys
):
    said: list[object] = [["127.0.0.1"]]

    async def lookup(host, port):
        assert host == "one.example"
        if isinstance(said[0], Exception):
            raise said[0]
        if said[0] == "slow":
            await asyncio.sleep(30)
        return said[0]

    one = {"one": f"http://one.example:{regions[0].port}"}
    async with StepdownClient(settings(endpoints=one, dns_s=0.001), lookup=lookup) as client:
        for trouble in (OSError("SERVFAIL"), "slow", []):
            said[0] = trouble
            for number in range(5):
                await regions[0].stop()
                await regions[0].start()  # so that a new connection has to be made
                answer = await client.decide(attempt(f"{number}_{len(regions[0].seen)}"))
                assert answer.region == "one"


async def test_dns_that_lies_is_left_for_the_addresses_that_were_good(settings, regions):
    """The name suddenly leads to a server that is no region."""
    said = ["127.0.0.1"]

    async def lookup(host, port):
        return list(said)

    liar = await asyncio.start_server(_answers_nonsense, "127.0.0.2", regions[0].port)
    one = {"one": f"http://one.example:{regions[0].port}"}
    asked = settings(endpoints=one, dns_s=0.001)
    async with liar, StepdownClient(asked, lookup=lookup) as client:
        assert (await client.decide(attempt(1))).region == "one"
        said[0] = "127.0.0.2"
        client._transport.drop(client._pool.endpoints["one"])
        await client.decide(attempt(2))
        client._transport.drop(client._pool.endpoints["one"])
        answers = [await client.decide(attempt(number)) for number in range(3, 9)]
        assert [answer.region for answer in answers[-5:]] == ["one"] * 5


async def _answers_nonsense(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"attempt_id":"x","action":"approve","rung":"full","decision_id":"dec_1","token":"v1.a.b"}'
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()


async def test_weights_are_followed_and_an_older_document_is_refused(settings, regions):
    events = []
    regions[0].weights = weights(2, one=0)
    async with StepdownClient(settings(routing_s=0.1), listener=events.append) as client:
        assert (await client.decide(attempt(1))).region != "one"
        regions[0].weights = weights(1)
        for region in regions[1:]:
            region.weights = weights(1)
        await eventually(lambda: client.stats().routing_refused > 0)
        assert any(isinstance(event, RoutingRefused) for event in events)
        assert client.stats().routing_version == 2
        assert client.stats().regions["one"].weight == 0


def test_threads_share_the_synchronous_client(regions_of_a_thread, client_keys):
    settings = ClientSettings(
        endpoints={region.name: region.url for region in regions_of_a_thread},
        api_key="sk_1_secret",
        trusted_keys=client_keys,
    )
    with SyncStepdownClient(settings) as client:
        answers = [client.decide(attempt(number)) for number in range(5)]
        assert all(answer.signed for answer in answers)
        assert client.stats().answered == 5


def weights(version, *, one=100):
    return Weights(version=version, weights={"one": one}, changed_at=datetime.now(UTC))
