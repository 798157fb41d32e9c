"""The real joiner, killed at random while decisions and follow-ups are being written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import msgspec
import pytest

from app.ids import DecisionIds
from app.record.effect import decode_effect
from app.record.follow_up import FollowUp, decode_follow_up, encode_follow_up
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.journal_tail import JournalTail
from regions.topology import load_topology

REGION_NAME = "us-east-1"
REGION = load_topology().region(REGION_NAME).number
KILLS = 20
SEED = 7
CAUGHT_UP_S_MAX = 30.0
JUST_OPENED_BYTES = 1_000  # a header, and the seal of the epoch before
OUTCOMES = ("authorised", "captured", "refunded", "superseded")
LABELS = ("fraud", "not_fraud", "withdrawn")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "joiner.log"


@pytest.fixture
def start(home, log):
    """Starts a joiner; none outlives the test."""
    started = []

    def starting():
        with log.open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.record.joiner_process", "--wait-ms", "60000"],
                env={**os.environ, "STEPDOWN_HOME": str(home), "STEPDOWN_REGION": REGION_NAME},
                stderr=said,
            )
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.wait()


class Workers:
    """Two writers, as scorers are: decisions in one, what follows in the other, often earlier."""

    def __init__(self, folder):
        self._folder = folder
        self._journals = [open_journal(folder, region=REGION) for _ in range(2)]
        self._ids = DecisionIds(region=REGION, writer=self._journals[0].writer)
        self._rng = random.Random(SEED)
        self._decided = []  # (attempt id, decision id)
        self._number = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self):
        self._stopped.set()
        self._thread.join()
        for journal in self._journals:
            journal.close()

    def others_bytes(self):
        """Size of all journals but theirs."""
        mine = {f"{journal.writer:05d}" for journal in self._journals}
        files = self._folder.glob("[0-9]*/*.journal")
        return sum(path.stat().st_size for path in files if path.parent.name not in mine)

    def _work(self):
        while not self._stopped.wait(0.002):
            for _ in range(4):
                self._attempt()

    def _attempt(self):
        self._number += 1
        attempt_id, decision_id = f"att_{self._number}", self._ids.new()
        early = self._rng.random() < 0.3
        if early:
            self._follow_up(attempt_id, decision_id)
        self._decide(attempt_id, decision_id)
        self._decided.append((attempt_id, decision_id))
        # Few attempts get much, so that what was said before matters.
        for attempt in self._rng.choices(self._decided[-20:], k=2):
            self._follow_up(*attempt)

    def _decide(self, attempt_id, decision_id):
        now_ms = time.time_ns() // 1_000_000
        record = {
            "tenant": "acme",
            "decision_id": decision_id,
            "attempt_id": attempt_id,
            "received_ms": now_ms,
            "amount_ref": 4_200,
            "entities": {"card": f"card {attempt_id}"},
            "bits": {"card": 1},
        }
        self._journals[0].append(Kind.DECISION, msgspec.msgpack.encode(record))

    def _follow_up(self, attempt_id, decision_id):
        self._number += 1
        what = self._rng.choice(OUTCOMES + LABELS)
        kind, name = (Kind.LABEL, "label") if what in LABELS else (Kind.OUTCOME, "kind")
        by_decision = self._rng.random() < 0.5
        follow_up = FollowUp(
            tenant="acme",
            # Now and then one that was sent before.
            id=f"id_{self._number // 2}",
            home=REGION,
            received_ms=time.time_ns() // 1_000_000,
            attempt_id=None if by_decision else attempt_id,
            decision_id=decision_id if by_decision else None,
            body=json.dumps({name: what}).encode(),
        )
        self._journals[1].append(kind, encode_follow_up(follow_up))


class Truth:
    """What has to be counted, worked out from the journals in the simplest way."""

    def __init__(self, records):
        decided = [msgspec.msgpack.decode(r.payload) for r in records if r.kind is Kind.DECISION]
        attempt_of = {one["decision_id"]: one["attempt_id"] for one in decided}
        received = {one["attempt_id"]: one["received_ms"] for one in decided}
        self.counted = Counter()
        label, taken = {}, set()
        said = [(r, decode_follow_up(r.payload)) for r in records if r.kind in (2, 3)]
        for record, one in sorted(said, key=lambda pair: pair[0].id.seq):  # all of one writer
            attempt = one.attempt_id or attempt_of[one.decision_id]
            (what,) = json.loads(one.body).values()
            if (attempt, record.kind, one.id) in taken:
                continue
            taken.add((attempt, record.kind, one.id))
            if what in LABELS:
                before, at_ms = label.get(attempt, ("withdrawn", 0))
                if what == before:
                    continue
                label[attempt] = (what, one.received_ms)
                if before != "withdrawn":
                    self.counted[attempt, f"{before}_withdrawn", at_ms] += 1
                if what != "withdrawn":
                    self.counted[attempt, what, one.received_ms] += 1
            elif what == "superseded":
                self.counted[attempt, what, received[attempt]] = 1
            else:
                self.counted[attempt, what, one.received_ms] += 1


def effects_of(records):
    effects = [decode_effect(r.payload) for r in records if r.kind is Kind.EFFECT]
    return Counter((e.attempt_id, e.what, e.at_ms) for e in effects), {e.of for e in effects}


def everything(folder):
    return JournalTail(folder).read(10_000_000)


def test_twenty_kills_lose_no_effect_and_write_none_twice(home, start, log):
    folder = home / REGION_NAME / "journal"
    rng = random.Random(SEED)
    workers = Workers(folder)
    try:
        for _ in range(KILLS):
            before, process = workers.others_bytes(), start()
            give_up_s = time.monotonic() + CAUGHT_UP_S_MAX
            while workers.others_bytes() <= before + JUST_OPENED_BYTES:
                assert time.monotonic() < give_up_s
                time.sleep(0.001)
            # At once is amid the effects of a whole batch; later is anywhere.
            time.sleep(rng.choice((0, 0, rng.uniform(0, 0.2))))
            process.kill()
            process.wait()
    finally:
        workers.stop()
    truth = Truth(everything(folder)).counted
    assert truth.total() > 1_000
    mended = log.read_text().count("written now")  # found effects committed and not written
    assert mended > 0
    assert all(what in {key[1] for key in truth} for what in (*OUTCOMES, "fraud_withdrawn"))
    start()
    give_up_s = time.monotonic() + CAUGHT_UP_S_MAX
    while (counted := effects_of(everything(folder))[0]).total() < truth.total():
        assert time.monotonic() < give_up_s, (truth - counted).most_common(5)
        time.sleep(0.1)
    time.sleep(0.5)  # time for one too many
    counted, _ = effects_of(everything(folder))
    assert counted - truth == Counter()
    assert truth - counted == Counter()


def test_the_process_stops_when_told_and_turns_a_second_one_away(home, start, log):
    process = start()
    index = home / REGION_NAME / "joiner" / "attempts.mdb"
    give_up_s = time.monotonic() + CAUGHT_UP_S_MAX
    while not index.exists():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
    second = start()
    assert second.wait(timeout=CAUGHT_UP_S_MAX) == 2
    assert "Another joiner is at work in" in log.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
