"""The checkers: what a round of probes tells the checks, and what is read of an answer."""

from __future__ import annotations

from datetime import UTC, datetime

from regions.routing import switches
from regions.routing.dns_answers import Place
from regions.routing.health import CheckRule, RegionChecks
from regions.routing.probing import Prober

PLACES = {"us-east-1": Place(address="127.0.0.1", port=1)}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def prober(home, answers):
    rule = CheckRule(checkers=1, failure_threshold=2)
    checks = {"us-east-1": RegionChecks.under(rule)}

    async def probe(place):
        assert place is PLACES["us-east-1"]
        return answers.pop(0)

    return Prober(home=home, places=PLACES, checks=checks, probe=probe), checks["us-east-1"]


async def test_a_region_that_stops_answering_is_out_after_the_threshold(tmp_path, caplog):
    looking, checks = prober(tmp_path, [True, False, False, True, True])
    seen = []
    for _ in range(5):
        await looking.round("us-east-1", 0)
        seen.append(checks.healthy)
    assert seen == [True, True, False, False, True]
    assert "us-east-1 is unhealthy" in caplog.text
    assert "us-east-1 is healthy again" in caplog.text


async def test_a_switch_is_believed_after_the_threshold_too(tmp_path):
    looking, checks = prober(tmp_path, [True] * 5)
    await looking.round("us-east-1", 0)
    switches.set_out(tmp_path, "us-east-1", now=NOW)
    await looking.round("us-east-1", 0)
    assert checks.healthy
    await looking.round("us-east-1", 0)
    assert not checks.healthy
    switches.set_in(tmp_path, "us-east-1")
    for _ in range(2):
        await looking.round("us-east-1", 0)
    assert checks.healthy


def test_turning_a_switch_twice_is_turning_it_once(tmp_path):
    for _ in range(2):
        switches.set_out(tmp_path, "us-east-1", now=NOW)
    assert switches.is_out(tmp_path, "us-east-1")
    assert not switches.is_out(tmp_path, "eu-west-1")
    for _ in range(2):
        switches.set_in(tmp_path, "us-east-1")
    assert not switches.is_out(tmp_path, "us-east-1")


def test_the_time_of_the_first_turn_is_kept(tmp_path):
    switches.set_out(tmp_path, "us-east-1", now=NOW)
    switches.set_out(tmp_path, "us-east-1", now=datetime(2026, 11, 23, tzinfo=UTC))
    assert (tmp_path / "published/out/us-east-1").read_text() == "2026-11-22T00:00:00+00:00\n"
