"""Hosts of a region share no disk: what they journal meets on the region's stream."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter

import boto3
import msgspec
import pyarrow.parquet as pq
import pytest

from app.history.files import HistoryFiles
from app.history.historian import Historian
from app.ids import WRITERS_OF_HOST, DecisionIds
from app.record.attempt_index import AttemptIndex
from app.record.effect import Effect, decode_effect, encode_effect
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind
from app.record.joiner import Joiner
from app.record.journal import open_journal
from app.settings import load
from app.streams.choice import followed, publisher_of
from app.streams.heartbeat import heartbeat
from app.streams.journal_tail import JournalTail
from app.telemetry import Telemetry

REGION = 0  # us-east-1
ARRIVES_S_MAX = 10.0
EVENTS_MAX = 1_000


def now_ms():
    return time.time_ns() // 1_000_000


class Host:
    """A host with a home, a number and a journal of its own, and what its shipper does."""

    def __init__(self, home, number, stream):
        home.mkdir()
        (home / "host").write_text(f"{number}\n")
        self.settings = load(
            {
                "STEPDOWN_HOME": str(home),
                "STEPDOWN_HOST_FILE": str(home / "host"),
                "STEPDOWN_FOLLOW": "stream",
                **stream,
            }
        )
        self.journal = self.open()
        self._tail = JournalTail(self.settings.journal)
        self._publisher = publisher_of(self.settings, {})

    def open(self):
        settings = self.settings
        return open_journal(
            settings.journal, region=REGION, host=settings.host_number(), fsync_ms=0
        )

    def decide(self, attempt_id):
        ids = DecisionIds(region=REGION, writer=self.journal.writer)
        record = {
            "tenant": "acme",
            "decision_id": ids.new(),
            "attempt_id": attempt_id,
            "received_ms": now_ms(),
            "amount_ref": 4_200,
            "entities": {"card": f"card {attempt_id}"},
            "bits": {"card": 1},
        }
        return self.journal.append(Kind.DECISION, msgspec.msgpack.encode(record))

    def hear(self, attempt_id):
        follow_up = FollowUp(
            tenant="acme",
            id=f"label of {attempt_id}",
            home=REGION,
            received_ms=now_ms(),
            attempt_id=attempt_id,
            body=json.dumps({"label": "fraud"}).encode(),
        )
        self.journal.append(Kind.LABEL, encode_follow_up(follow_up))

    def counted(self, attempt_id):
        effect = Effect(
            tenant="acme",
            of="0/0/1/1",
            what="fraud",
            at_ms=now_ms(),
            received_ms=now_ms(),
            decision_id="d",
            attempt_id=attempt_id,
            attempted_ms=0,
            entities={},
            amount_ref=4_200,
        )
        self.journal.append(Kind.EFFECT, encode_effect(effect))

    def ship(self):
        beat = heartbeat(REGION, now_ms(), {})
        self._publisher.publish([*self._tail.read(EVENTS_MAX), beat])

    def joiner(self):
        joiner = Joiner(
            followed(self.settings),
            AttemptIndex(self.settings.region_folder / "joiner"),
            folder=self.settings.journal,
            journal=self.open,
            region=REGION,
            telemetry=Telemetry(role="joiner"),
            now_ms=now_ms,
        )
        joiner.resume()
        return joiner

    def effects(self):
        records = JournalTail(self.settings.journal).read(EVENTS_MAX)
        found = (decode_effect(r.payload) for r in records if r.kind is Kind.EFFECT)
        return Counter((effect.attempt_id, effect.what) for effect in found)


@pytest.fixture
def hosts(tmp_path, moto):
    """Two scorers' hosts, and the one that joins."""
    name = f"events-{secrets.token_hex(4)}"
    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=moto)
    client.create_stream(StreamName=name, ShardCount=2)
    stream = {"STEPDOWN_STREAM": f"kinesis:{name}", "STEPDOWN_AWS_ENDPOINT": moto}
    made = [Host(tmp_path / f"host-{number}", number, stream) for number in (0, 40, 240)]
    yield made
    for host in made:
        host.journal.close()


def until(done, step):
    give_up_s = time.monotonic() + ARRIVES_S_MAX
    while not done():
        assert time.monotonic() < give_up_s
        step()
        time.sleep(0.02)


def test_two_hosts_of_a_region_give_no_two_events_one_identity(hosts):
    here, there, _ = hosts
    first, second = here.decide("att_1"), there.decide("att_1")
    assert first != second
    assert (first.writer, second.writer) == (0, 40 * WRITERS_OF_HOST)


def test_an_outcome_is_joined_though_it_came_to_another_host_than_its_decision(hosts):
    decides, hears, joins = hosts
    decides.decide("att_1")
    hears.hear("att_1")
    hears.ship()  # the follow-up arrives first, as it does when the other shipper is behind
    joiner = joins.joiner()
    until(lambda: joiner.gauges().numbers["joiner_waiting"] == 1, joiner.step)
    decides.ship()
    until(joins.effects, joiner.step)
    joiner.close()
    assert joins.effects() == {("att_1", "fraud"): 1}


def test_a_joiner_that_starts_again_goes_on_from_the_last_heartbeat_that_it_kept(hosts):
    decides, hears, joins = hosts
    decides.decide("att_1")
    hears.hear("att_1")
    decides.ship()
    hears.ship()
    joiner = joins.joiner()
    until(joins.effects, joiner.step)
    joiner.close()
    hears.hear("att_2")
    decides.decide("att_2")
    decides.ship()
    hears.ship()
    joiner = joins.joiner()
    until(lambda: len(joins.effects()) == 2, joiner.step)
    joiner.close()
    assert joins.effects() == {("att_1", "fraud"): 1, ("att_2", "fraud"): 1}


def test_one_historian_keeps_what_came_to_all_hosts(hosts, tmp_path):
    for number, host in enumerate(hosts):
        host.counted(f"att_{number}")
        host.ship()
    historian = Historian(
        followed(hosts[-1].settings),
        HistoryFiles(tmp_path / "history", rows_max=10),
        monotonic=time.monotonic,
        rows_max=3,
        linger_s=60.0,
    )
    historian.resume()
    until(lambda: historian.checkpoint.rows == 3, historian.step)
    (file,) = (tmp_path / "history").glob("*/day=*/*.parquet")
    writers = pq.ParquetFile(file).read()["writer"].to_pylist()
    assert sorted(writers) == [host.journal.writer for host in hosts]
    assert historian.checkpoint.missed == 0
