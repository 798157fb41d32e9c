"""The joiner over real journals: what comes early, what never comes, and crashes in between."""

from __future__ import annotations

import json
from functools import partial

import lmdb
import msgspec
import pytest

from app.ids import DecisionIds
from app.record.attempt import attempt_of
from app.record.attempt_index import AttemptIndex
from app.record.effect import decode_effect
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind, segments_of
from app.record.joiner import BATCH_RECORDS_MAX, LOOKED_UP_MAX, Bounds, Joiner
from app.record.journal import JournalUnavailable, open_journal
from app.streams.interface import StreamUnavailable
from app.streams.journal_tail import JournalTail
from app.telemetry import Telemetry

REGION, ELSEWHERE = 1, 2
DAY_MS = 86_400_000
WAIT_MS = 5_000


class Crash(BaseException):
    """The process dies here."""


class Host:
    """A host's journals, and joiners that follow one another."""

    def __init__(self, folder):
        self.folder, self.journals = folder / "journal", [self.writer(folder / "journal")]
        self.now_ms = 1_800_000_000_000
        self.found = {}  # what history knows, by attempt id
        self.looked_up = 0
        self._home = folder
        self.joiner = None

    @staticmethod
    def writer(folder):
        return open_journal(folder, region=REGION, fsync_ms=0)

    def start(self, *, journal=None, bounds=None):
        """A joiner in a new process, the one before killed."""
        self.kill()
        self.telemetry = Telemetry(role="joiner")
        self.index = AttemptIndex(self._home / "joiner")
        self.joiner = Joiner(
            JournalTail(self.folder),
            self.index,
            folder=self.folder,
            journal=journal or partial(self.writer, self.folder),
            region=REGION,
            telemetry=self.telemetry,
            now_ms=lambda: self.now_ms,
            find=self._find,
            bounds=bounds or Bounds(wait_ms=WAIT_MS),
        )
        self.joiner.resume()
        return self.joiner

    def kill(self):
        if self.joiner is not None:
            self.joiner.close()
            self.joiner = None

    def decide(self, attempt_id, *, tenant="acme", at_ms=None):
        id, payload = self.decision(attempt_id, tenant=tenant, at_ms=at_ms)
        self.journals[0].append(Kind.DECISION, payload)
        return id

    def decision(self, attempt_id, *, tenant="acme", at_ms=None):
        at_ms = at_ms or self.now_ms
        id = DecisionIds(region=REGION, writer=0).new(at_ms)
        return id, msgspec.msgpack.encode(
            {
                "tenant": tenant,
                "decision_id": id,
                "attempt_id": attempt_id,
                "received_ms": at_ms,
                "amount_ref": 4_200,
                "entities": {"card": f"card of {attempt_id}"},
                "bits": {},
            }
        )

    def say(self, what, attempt_id=None, *, decision_id=None, home=REGION, tenant="acme", id=None):
        kind, name = (
            (Kind.LABEL, "label") if what in ("fraud", "withdrawn") else (Kind.OUTCOME, "kind")
        )
        follow_up = FollowUp(
            tenant=tenant,
            id=id or f"{what}-{self.journals[0].appended}",
            home=home,
            received_ms=self.now_ms,
            attempt_id=attempt_id,
            decision_id=decision_id,
            body=json.dumps({name: what}).encode(),
        )
        return self.journals[0].append(kind, encode_follow_up(follow_up))

    @property
    def effects(self):
        """(attempt, what) of every effect in the journals, in order of the follow-ups."""
        records = JournalTail(self.folder).read(10_000)
        effects = [decode_effect(r.payload) for r in records if r.kind is Kind.EFFECT]
        effects.sort(key=lambda effect: tuple(map(int, effect.of.split("/"))))
        return [(effect.attempt_id, effect.what) for effect in effects]

    def count(self, *name):
        return self.telemetry.counters["\0".join(name)]

    def _find(self, tenant, attempt_id, decision_id):
        self.looked_up += 1
        found = self.found.get(attempt_id)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self):
        self.kill()
        for journal in self.journals:
            journal.close()


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    yield host
    host.close()


def test_a_follow_up_is_joined_by_attempt_or_by_decision(host):
    host.decide("a1")
    id = host.decide("a2")
    host.say("authorised", "a1")
    host.say("captured", decision_id=id)
    host.start().step()
    assert host.effects == [("a1", "authorised"), ("a2", "captured")]
    assert host.count("joiner_joined", "captured") == 1


def test_an_attempt_of_months_ago_is_joined(host):
    host.decide("a1")
    host.start().step()
    host.now_ms += 100 * DAY_MS
    host.say("fraud", "a1")
    host.start().step()
    assert host.effects == [("a1", "fraud")]


def test_another_tenants_attempt_is_never_joined(host):
    id = host.decide("a1", tenant="acme")
    host.say("fraud", "a1", tenant="other")
    host.say("fraud", decision_id=id, tenant="other")
    host.start().step()
    assert host.effects == []


def test_another_regions_follow_up_is_passed_over_and_counted(host):
    host.decide("a1")
    joiner = host.start()
    joiner.step()
    host.say("fraud", "a1", home=ELSEWHERE)
    joiner.step()
    assert host.effects == []
    assert host.count("joiner_elsewhere") == 1


def test_what_cannot_be_read_is_passed_over_counted_and_named(host, caplog):
    host.journals[0].append(Kind.DECISION, b"\xc1")
    host.decide("a1")
    bad = host.say("exploded", "a1")
    host.say("fraud", "a1")
    host.start().step()
    assert host.effects == [("a1", "fraud")]
    assert host.count("joiner_unreadable") == 2
    assert str(bad) in caplog.text


def test_a_follow_up_waits_for_its_decision_and_holds_up_no_other(host):
    host.say("authorised", "late")
    host.decide("a1")
    host.say("authorised", "a1")
    joiner = host.start()
    joiner.step()
    assert host.effects == [("a1", "authorised")]
    host.decide("late")
    joiner.step()
    assert host.effects == [("late", "authorised"), ("a1", "authorised")]
    assert joiner.gauges().numbers["joiner_waiting"] == 0


def test_what_waits_by_decision_id_is_joined_too(host):
    id, payload = host.decision("late")
    host.say("authorised", decision_id=id)
    joiner = host.start()
    joiner.step()
    host.journals[0].append(Kind.DECISION, payload)
    joiner.step()
    assert host.effects == [("late", "authorised")]


def test_what_waits_goes_on_waiting_after_a_restart(host):
    host.say("authorised", "late")
    host.start().step()
    host.decide("late")
    host.start().step()
    assert host.effects == [("late", "authorised")]
    host.start()
    assert host.joiner.gauges().numbers["joiner_waiting"] == 0


def test_what_waited_together_is_joined_in_order_of_receipt(host):
    for what in ("fraud", "withdrawn"):
        host.say(what, "late")
        host.now_ms += 1
    host.decide("late")
    host.start().step()
    assert host.effects == [("late", "fraud"), ("late", "fraud_withdrawn")]


def test_what_waited_in_vain_is_counted_and_named(host, caplog):
    of = host.say("fraud", "nowhere")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS - 1
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == 0
    host.now_ms += 1
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == 1
    assert f"fraud {'/'.join(map(str, of))} of acme for nowhere" in caplog.text
    assert host.index.waiting() == []


def test_many_that_waited_in_vain_make_one_line_a_second(host, caplog):
    for at in range(LOOKED_UP_MAX + 5):
        host.say("fraud", f"nowhere {at}")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == LOOKED_UP_MAX
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == LOOKED_UP_MAX + 5
    assert caplog.text.count("have no decision here") == 1


def test_a_backlog_makes_no_follow_up_give_up(host):
    host.say("fraud", "far away")
    for at in range(2 * BATCH_RECORDS_MAX):
        host.decide(f"a{at}")
    host.decide("far away")
    joiner = host.start()
    joiner.step()
    host.now_ms += 10 * WAIT_MS
    joiner.step()
    assert host.looked_up == 0
    assert joiner.lag_ms > 0
    joiner.step()
    assert host.effects == [("far away", "fraud")]
    assert joiner.lag_ms == 0


def test_too_many_that_wait_make_the_longest_waiting_go(host):
    joiner = host.start(bounds=Bounds(waiting_max=2))
    for at in range(5):
        host.say("fraud", f"nowhere {at}")
    joiner.step()
    joiner.step()
    assert host.count("joiner_unjoined", "fraud") == 3
    host.decide("nowhere 4")
    joiner.step()
    assert host.effects == [("nowhere 4", "fraud")]


def test_an_attempt_that_history_knows_is_joined_and_remembered(host):
    _, payload = host.decision("old", at_ms=host.now_ms - DAY_MS)
    host.found["old"] = attempt_of(payload)
    host.say("fraud", "old")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    host.say("withdrawn", "old")
    joiner.step()
    assert host.effects == [("old", "fraud"), ("old", "fraud_withdrawn")]
    assert host.looked_up == 1


def test_an_attempt_too_old_to_be_remembered_is_not_counted(host):
    _, payload = host.decision("old", at_ms=host.now_ms - 121 * DAY_MS)
    host.found["old"] = attempt_of(payload)
    host.say("fraud", "old")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    assert host.effects == []
    assert host.count("joiner_unjoined", "fraud") == 1


def test_a_history_that_is_away_makes_a_follow_up_wait_once_more(host):
    host.found["old"] = TimeoutError("away")
    host.say("fraud", "old")
    joiner = host.start()
    joiner.step()
    host.now_ms += WAIT_MS
    joiner.step()
    _, payload = host.decision("old")
    host.found["old"] = attempt_of(payload)
    host.start().step()
    assert host.effects == []
    host.now_ms += WAIT_MS
    host.joiner.step()
    assert host.effects == [("old", "fraud")]


def test_old_attempts_are_forgotten_and_counted(host):
    host.decide("old")
    joiner = host.start()
    joiner.step()
    host.now_ms += 121 * DAY_MS
    host.decide("young")
    joiner.step()
    assert host.count("joiner_pruned") == 1
    assert joiner.gauges().numbers["joiner_attempts"] == 1


def test_nothing_is_read_twice_after_a_restart(host):
    host.decide("a1")
    host.say("fraud", "a1")
    host.start().step()
    assert host.start().step() == 1  # the effect, which is the joiner's own
    assert host.count("joiner_decisions") == 0
    assert host.effects == [("a1", "fraud")]


def test_an_idle_joiner_takes_no_writer_slot(host):
    host.decide("a1")
    host.start().step()
    assert [slot.name for slot in host.folder.glob("[0-9]*")] == ["00000"]


class Dying:
    """A journal whose process dies after so many appends."""

    def __init__(self, folder, after):
        self._journal, self._left = Host.writer(folder), after
        self.writer, self.epoch = self._journal.writer, self._journal.epoch
        self.close = self._journal.close

    def append(self, kind, payload):
        if not self._left:
            raise Crash
        self._left -= 1
        return self._journal.append(kind, payload)


@pytest.mark.parametrize("written", range(5))
def test_effects_that_a_crash_left_unwritten_are_written_once(host, written, caplog):
    expected = []
    for at in range(4):
        host.decide(f"a{at}")
        host.say("fraud", f"a{at}")
        expected.append((f"a{at}", "fraud"))
    dying = Dying(host.folder, written)
    joiner = host.start(journal=lambda: dying)
    if written < len(expected):
        with pytest.raises(Crash):
            joiner.step()
    else:
        joiner.step()
    for _ in range(2):
        host.start().step()
        assert host.effects == expected
    assert ("written now" in caplog.text) == (written < len(expected))


def test_a_crash_while_they_are_being_written_writes_none_twice(host):
    for at in range(4):
        host.decide(f"a{at}")
        host.say("fraud", f"a{at}")
    with pytest.raises(Crash):
        host.start(journal=lambda: Dying(host.folder, 1)).step()
    with pytest.raises(Crash):
        host.start(journal=lambda: Dying(host.folder, 2))
    host.start().step()
    assert host.effects == [(f"a{at}", "fraud") for at in range(4)]


def test_a_slot_that_another_process_took_since_is_still_read(host):
    host.decide("a1")
    host.say("fraud", "a1")
    host.start().step()
    host.kill()
    host.journals.append(host.writer(host.folder))
    assert host.journals[-1].writer == 1  # that was the joiner's
    host.start().step()
    assert host.effects == [("a1", "fraud")]


def test_a_segment_that_is_gone_is_taken_as_written(host, caplog):
    host.decide("a1")
    host.say("fraud", "a1")
    host.start().step()
    host.kill()
    for segment in segments_of(host.folder / "00001"):
        segment.unlink()
    host.start()
    assert host.effects == []
    assert "taken as written" in caplog.text


def test_a_journal_that_takes_nothing_loses_and_doubles_nothing(host):
    host.decide("a1")
    host.say("fraud", "a1")
    full = [True]

    def opened():
        if full:
            raise JournalUnavailable("the disk is full")
        return host.writer(host.folder)

    joiner = host.start(journal=opened)
    with pytest.raises(JournalUnavailable):
        joiner.step()
    assert host.index.attempts == 0  # undone with everything else
    full.clear()
    joiner.resume()
    joiner.step()
    assert host.effects == [("a1", "fraud")]


def test_an_index_that_cannot_be_written_loses_and_doubles_nothing(host, monkeypatch):
    host.decide("a1")
    host.say("fraud", "a1")
    joiner = host.start()
    with monkeypatch.context() as broken:
        broken.setattr("app.record.attempt_index.Change.keep", _disk_full)
        with pytest.raises(lmdb.DiskError):
            joiner.step()
    joiner.resume()
    joiner.step()
    assert host.effects == [("a1", "fraud")]
    assert host.count("joiner_joined", "fraud") == 1


def _disk_full(_change, _progress):
    raise lmdb.DiskError


def test_a_stream_that_delivers_twice_is_joined_once(host):
    host.decide("a1")
    host.say("captured", "a1")
    joiner = host.start()
    joiner.step()
    joiner._stream.rewind({})
    joiner.step()
    assert host.effects == [("a1", "captured")]
    assert host.count("joiner_decisions") == 1


def test_a_stream_that_is_away_says_so_and_is_gone_on_with(host, monkeypatch):
    host.decide("a1")
    host.say("captured", "a1")
    joiner = host.start()

    def away(_limit):
        raise StreamUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(joiner._stream, "read", away)
        with pytest.raises(StreamUnavailable):
            joiner.step()
    joiner.resume()
    joiner.step()
    assert host.effects == [("a1", "captured")]
