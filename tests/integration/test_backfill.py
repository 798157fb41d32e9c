"""Backfill against real servers and journals: what it builds is what the applier would have."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
import redis
import typer
from typer.testing import CliRunner

from app.errors import OperatorError
from app.features.applier import APPLIED_KEY, Applied, Applier, connect, shard_of
from app.features.backfill import BACKFILL_KEY, backfill, rebuild_from_history
from app.features.backfill_commands import backfill as backfill_command
from app.features.packed import distinct_bit, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import DAY_MS, HOUR_MS
from app.history.files import HistoryFiles
from app.history.historian import Historian
from app.record.decision import DecisionRecord, encode
from app.record.effect import Effect, encode_effect
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.interface import StreamUnavailable
from app.streams.journal_tail import JournalTail

EVENTS = 2_000
LATER_MS = (0, 1, HOUR_MS, DAY_MS, 8 * DAY_MS, 20 * DAY_MS)
ACTIONS = ("approve", "step_up", "decline")


def wall_ms():
    return time.time_ns() // 1_000_000


@dataclass
class Region:
    """A region's journals, its history, and appliers on both."""

    home: object
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    written: int = 0
    last: object = None

    def __post_init__(self):
        self.folder = self.home / "us-east-1"
        self.history = self.folder / "history"
        self.journal = open_journal(self.folder / "journal", region=0, segment_bytes=100_000)

    def write(self, events, *, over_ms=10 * DAY_MS):
        """Journal decisions, and an effect after every third, up to now."""
        now_ms = wall_ms()
        for at in range(events):
            self.written += 1
            self._decide(now_ms - over_ms * (events - at) // events)

    def _decide(self, at_ms):
        number = self.written
        ids = {"card": f"card_{self.rng.randrange(300)}", "merchant": f"mer_{number % 11}"}
        if number % 4:
            ids["device"] = f"dev_{self.rng.randrange(90)}"
        amount = self.rng.randrange(100, 90_000)
        bits = {"card": distinct_bit(ids["card"]), "device": distinct_bit(ids.get("device", ""))}
        decision = DecisionRecord(
            tenant=f"tenant_{number % 2}", decision_id=f"dec_{number}", attempt_id=f"att_{number}",
            received_ms=at_ms, as_of_ms=at_ms, request=b"{}", amount_ref=amount, entities=ids,
            bits=bits, merchant={}, large=number % 9 == 0, action=ACTIONS[number % 3], ranking=0.0,
            rung="rules", not_higher={}, reasons=[], versions={}, deadline_ms=80, took_ms=1.0,
        )  # fmt: skip
        self.last = self.journal.append(Kind.DECISION, encode(decision))
        if number % 3 == 0:
            what = ("fraud", "issuer_declined", "superseded", "fraud_withdrawn")[number % 4]
            effect = Effect(
                tenant=decision.tenant, of=f"0/0/1/{number}", what=what, at_ms=at_ms - 9,
                received_ms=at_ms, decision_id=decision.decision_id, attempted_ms=at_ms - HOUR_MS,
                attempt_id=decision.attempt_id, amount_ref=amount, entities=ids, bits=bits,
            )  # fmt: skip
            self.last = self.journal.append(Kind.EFFECT, encode_effect(effect))

    def keep(self, *, rows_max=400):
        """Bring history up to the journals."""
        historian = Historian(
            JournalTail(self.folder / "journal"),
            HistoryFiles(self.history, rows_max=rows_max),
            monotonic=time.monotonic,
            rows_max=rows_max,
            linger_s=60.0,
        )
        historian.resume()
        while historian.step():
            pass
        historian.flush()

    def applier(self, server, *, shard=0, shards=1, rebuild=None):
        applier = Applier(
            lambda: connect(server.shard, None),
            JournalTail(self.folder / "journal"),
            features=REFERENCE,
            now_ms=wall_ms,
            shard=shard,
            shards=shards,
            rebuild=rebuild,
        )
        applier.connect()
        return applier

    def rebuild(self, *, shard=0, shards=1):
        return rebuild_from_history(
            self.history, REFERENCE, shard=shard, shards=shards, now_ms=wall_ms
        )

    def backfill(self, *servers, **options):
        return backfill(
            self.history, [one.client for one in servers], REFERENCE, now_ms=wall_ms(), **options
        )


def drain(applier):
    while applier.step():
        pass
    applier.close()


def stored(*servers):
    """All values; keys that stand on the wrong shard are found out."""
    found = {}
    for at, server in enumerate(servers):
        names = [name for name in server.client.scan_iter(count=5_000) if name[:1] != b"!"]
        assert {shard_of(name.decode(), len(servers)) for name in names} <= {at}
        found |= dict(zip(names, server.client.mget(names), strict=True)) if names else {}
    return found


def counters(*servers):
    """Every counter of every key that has any, as read at once and over the following weeks."""
    values = stored(*servers)
    found = {}
    for entity, reader in layouts_of(REFERENCE).items():
        names = sorted(name for name in values if f":{entity}:".encode() in name)
        found[entity] = names, reader.layout, reader.layout.decode([values[n] for n in names])
    newest_ms = max(records["base"].max(initial=0) for _, _, records in found.values())
    read = {}
    for entity, (names, layout, records) in found.items():
        for later_ms in LATER_MS:
            now_ms = newest_ms + later_ms
            windows = layout.windows(records, np.array([now_ms]))
            parts = (part.tolist() for part in (windows.totals, windows.bitmaps, windows.last_ms))
            seen = windows.base_ms >= now_ms - REFERENCE.horizon_ms(entity)
            rows = zip(names, seen, *parts, strict=True)
            read |= {(name, later_ms): tuple(row) for name, live, *row in rows if live}
    return read


def applied(server):
    return msgspec.msgpack.decode(server.client.get(APPLIED_KEY), type=Applied)


@pytest.fixture
def region(tmp_path):
    region = Region(tmp_path / "home")
    yield region
    region.journal.close()


@pytest.fixture
def truth(region, valkeys):
    """What an applier that saw every event of the journals has counted."""

    def counted():
        server = valkeys()
        drain(region.applier(server))
        return counters(server)

    return counted


@pytest.mark.parametrize("shards", [1, 3])
def test_a_filled_store_reads_like_the_applier_s(region, valkeys, truth, shards):
    region.write(EVENTS)
    region.keep()
    servers = [valkeys() for _ in range(shards)]
    region.backfill(*servers, events_max=500)
    assert counters(*servers) == truth()


def test_where_nothing_is_past_its_horizon_values_are_the_same_byte_for_byte(region, valkeys):
    region.write(EVENTS, over_ms=DAY_MS)
    region.keep()
    filled, streamed = valkeys(), valkeys()
    region.backfill(filled, events_max=500)
    drain(region.applier(streamed))
    assert stored(filled) == stored(streamed)
    expiries_ms = [[one.client.pttl(name) for name in stored(filled)] for one in (filled, streamed)]
    np.testing.assert_allclose(*expiries_ms, atol=30_000)


def test_the_applier_goes_on_behind_the_history_and_becomes_ready(region, valkey, truth):
    region.write(EVENTS)
    region.keep()
    region.write(100, over_ms=HOUR_MS)  # in the journal only
    (done,) = region.backfill(valkey)
    assert applied(valkey) == Applied(
        generation=done.generation, ready=False, as_of_ms=0, positions=dict(done.positions)
    )
    drain(region.applier(valkey))
    assert applied(valkey).ready
    assert applied(valkey).generation == done.generation
    assert counters(valkey) == truth()


def test_what_comes_while_a_store_is_filled_counts_once(region, valkey, truth):
    region.write(EVENTS)
    region.keep()

    def busy(share, _what):
        if share < 0.5:
            region.write(30, over_ms=1_000)
            region.keep()

    region.backfill(valkey, report=busy)
    assert applied(valkey).positions["0/0"][1] < region.last.seq
    drain(region.applier(valkey))
    assert counters(valkey) == truth()


# Imports take longer than a run: it forks for each line that it is sent, and is sent as many.
RUNS = """
import os, sys, time
from pathlib import Path
import pyarrow.dataset, redis
from app.features.backfill import backfill
from app.features.reference import REFERENCE

def slowly(share, what):
    print(share, flush=True)
    time.sleep(0.02)

for _ in sys.stdin:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        stores = [redis.Redis(port=int(port), protocol=2) for port in sys.argv[2:]]
        now_ms = time.time_ns() // 1_000_000
        backfill(Path(sys.argv[1]), stores, REFERENCE, now_ms=now_ms, events_max=100, report=slowly)
        os._exit(0)
    os.wait()
    print("over", flush=True)
"""


def test_a_backfill_that_is_killed_five_times_ends_as_one_that_is_not(region, valkeys, truth):
    region.write(600)
    region.keep()
    servers = [valkeys(), valkeys()]
    command = [sys.executable, "-c", RUNS, region.history, *(str(one.port) for one in servers)]
    generations, starts = set(), []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as runs:
        for kills in range(6):
            runs.stdin.write("go\n")
            pid = int(runs.stdout.readline())
            starts.append(float(runs.stdout.readline()))
            while (said := runs.stdout.readline().strip()) != "over":
                if kills < 5 and float(said) > starts[0] + (kills + 1) * 0.15:
                    os.kill(pid, signal.SIGKILL)
                    assert not all(whole(one) for one in servers)
            generations |= {applied(one).generation for one in servers[: 1 if kills < 4 else 2]}
        runs.stdin.close()
    assert starts == sorted(set(starts))
    assert starts[-1] > 0.7
    assert generations == {applied(one).generation for one in servers}
    assert counters(*servers) == truth()
    assert not any(one.client.exists(BACKFILL_KEY) for one in servers)


def whole(server):
    """Whether a store says that all of history is in it."""
    marker = server.client.get(APPLIED_KEY)
    return marker is not None and bool(msgspec.msgpack.decode(marker, type=Applied).positions)


def test_a_store_in_use_is_refused_and_replaced_when_told_so(region, valkey, truth):
    region.write(EVENTS)
    region.keep()
    drain(region.applier(valkey))
    valkey.client.set("tenant_0:card:left_behind", b"of before")
    valkey.client.set("attempts", b"of the scorers")
    before = applied(valkey)
    with pytest.raises(OperatorError, match="shard 0 is in use; --replace clears it first"):
        region.backfill(valkey)
    assert applied(valkey) == before
    (done,) = region.backfill(valkey, replace=True)
    assert done.generation != before.generation
    assert valkey.client.getdel("attempts") == b"of the scorers"
    assert counters(valkey) == truth()


def test_an_applier_that_comes_in_between_stops_the_backfill(region, valkey, truth):
    region.write(EVENTS)
    region.keep()
    comes = iter([None, None])

    def meanwhile(_share, _what):
        if next(comes, "now") == "now":
            drain(region.applier(valkey))

    with pytest.raises(OperatorError, match="an applier writes the store"):
        region.backfill(valkey, report=meanwhile)
    drain(region.applier(valkey))
    assert applied(valkey).ready
    assert counters(valkey) == truth()


def test_a_store_that_lost_everything_is_rebuilt_under_a_new_generation(region, valkey, truth):
    region.write(EVENTS)
    region.keep()
    applier = region.applier(valkey, rebuild=region.rebuild())
    while applier.step():
        pass
    before = applied(valkey)
    region.write(50, over_ms=HOUR_MS)
    valkey.client.flushall()
    assert valkey.client.get(APPLIED_KEY) is None  # which readers take for cold, not for zero
    with pytest.raises(redis.WatchError):
        applier.step()
    region.write(50, over_ms=1_000)
    applier.connect()
    assert not applied(valkey).ready
    assert applied(valkey).positions["0/0"][1] < region.last.seq
    drain(applier)
    assert applied(valkey).ready
    assert applied(valkey).generation != before.generation
    assert counters(valkey) == truth()


def test_each_shard_of_an_applier_rebuilds_its_own(region, valkeys, truth):
    region.write(EVENTS)
    region.keep()
    servers = [valkeys(), valkeys()]
    for shard, server in enumerate(servers):
        rebuild = region.rebuild(shard=shard, shards=2)
        drain(region.applier(server, shard=shard, shards=2, rebuild=rebuild))
    assert counters(*servers) == truth()


def test_history_from_before_the_journals_counts_with_them(region, valkey, truth):
    """The journals' oldest segments are gone; history still has their events."""
    region.write(EVENTS)
    region.keep()
    expected = truth()
    segments = sorted((region.folder / "journal").glob("00000/*.journal"))
    assert len(segments) > 3
    for segment in segments[:3]:
        segment.unlink()
    assert truth() != expected
    drain(region.applier(valkey, rebuild=region.rebuild()))
    assert counters(valkey) == expected


def test_without_a_history_a_cold_store_is_left_to_the_journals(region, valkey, truth):
    region.write(200)
    drain(region.applier(valkey, rebuild=region.rebuild()))
    assert counters(valkey) == truth()
    with pytest.raises(OperatorError, match="there is no history in"):
        region.backfill(valkey, replace=True)


def test_while_history_cannot_be_read_the_store_stays_cold(region, valkey, truth):
    region.write(EVENTS)
    region.keep()
    file = sorted(region.history.glob("decisions/*/*.parquet"))[2]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StreamUnavailable, match="cannot be read"):
        region.applier(valkey, rebuild=region.rebuild())
    assert not applied(valkey).ready
    assert applied(valkey).positions == {}
    file.write_bytes(whole)
    drain(region.applier(valkey, rebuild=region.rebuild()))
    assert counters(valkey) == truth()


def test_a_history_that_was_written_again_is_begun_anew(region, valkey, truth, tmp_path):
    """Positions that the new history has not reached may not be marked as applied."""
    region.write(EVENTS)
    region.keep()

    def stop(share, _what):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        region.backfill(valkey, events_max=200, report=stop)
    begun = applied(valkey).generation
    region.history.rename(tmp_path / "away")
    region.home = tmp_path / "other"
    other = Region(region.home)
    other.write(300)
    other.keep()
    other.journal.close()
    other.backfill(valkey)
    assert applied(valkey).generation != begun
    drain(other.applier(valkey))


def test_the_command_fills_the_stores_it_is_given(region, valkey, truth, monkeypatch):
    region.write(300)
    region.keep()
    app = typer.Typer()
    app.command("backfill")(backfill_command)
    words = ["--home", str(region.home), "--store", f"127.0.0.1:{valkey.port}", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (shard,) = msgspec.json.decode(done.stdout)["shards"]
    assert shard["generation"] == applied(valkey).generation
    assert shard["values"] == len(stored(valkey))
    assert counters(valkey) == truth()
