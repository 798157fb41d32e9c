"""Crashes of the joiner, and journals, indexes and streams that fail it."""

from __future__ import annotations

import lmdb
import pytest

from app.record.frames import segments_of
from app.record.journal import JournalUnavailable
from app.streams.interface import StreamUnavailable
from tests.unit.record.joiner.setting import Host


class Crash(BaseException):
    """The process dies here."""


def test_nothing_is_read_twice_after_a_restart(host):
    host.decide("a1")
    host.say("fraud", "a1")
    host.start().step()
    assert host.start().step() == 1  # the effect, which is the joiner's own
    assert host.count("joiner_decisions") == 0
    assert host.effects == [("a1", "fraud")]


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
