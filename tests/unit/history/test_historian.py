"""What makes each event stand in history once, and in few files."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from app.history.files import Checkpoint, HistoryError, HistoryFiles
from app.history.historian import Historian
from app.ids import EventId
from app.record.effect import Effect, encode_effect
from app.record.frames import Kind, Record
from app.streams.interface import position_of, writer_of

DAY_MS = 86_400_000


def event(seq, *, epoch=1, writer=0, at_ms=0, kind=Kind.EFFECT, amount_ref=None):
    payload = encode_effect(
        Effect(
            tenant="acme", of=f"1/0/1/{seq}", what="fraud", at_ms=at_ms, received_ms=at_ms,
            decision_id="d", attempt_id="a", attempted_ms=0, entities={},
            amount_ref=seq if amount_ref is None else amount_ref,
        )
    )  # fmt: skip
    return Record(EventId(1, writer, epoch, seq), kind, at_ms, payload, b"", 0)


class Stream:
    """Events, again after each rewind; the last of a batch a second time in the next one."""

    def __init__(self):
        self.events = []
        self._from = 0

    def rewind(self, positions):
        taken = [
            e for e in self.events if position_of(e.id) <= positions.get(writer_of(e.id), (0, 0))
        ]
        self._from = len(taken)

    def read(self, limit):
        found = self.events[max(0, self._from - 1) : self._from + limit]
        self._from = len(self.events)
        return found


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def historian(tmp_path, stream, clock):
    """Makes historians of one folder; one that follows another is the same after a restart."""

    def make(*, rows_max=10, linger_s=30.0):
        files = HistoryFiles(tmp_path / "history", rows_max=rows_max)
        made = Historian(
            stream, files, monotonic=lambda: clock[0], rows_max=rows_max, linger_s=linger_s
        )
        made.resume()
        return made

    return make


def files(folder, kind="*.parquet"):
    return sorted((folder / "history").glob(f"*/day=*/{kind}"))


def seqs(folder):
    return sorted(
        s for path in files(folder) for s in pq.ParquetFile(path).read()["seq"].to_pylist()
    )


def test_rows_wait_for_others_until_there_are_enough(tmp_path, stream, historian):
    follows = historian(rows_max=3)
    for seq in (1, 2):
        stream.events.append(event(seq))
        follows.step()
        assert seqs(tmp_path) == []
    stream.events.append(event(3))
    follows.step()
    assert seqs(tmp_path) == [1, 2, 3]


def test_rows_wait_no_longer_than_they_may(tmp_path, stream, historian, clock):
    follows = historian(linger_s=30.0)
    stream.events.append(event(1))
    follows.step()
    clock[0] = 29.9
    follows.step()
    assert seqs(tmp_path) == []
    clock[0] = 30.0
    follows.step()
    assert seqs(tmp_path) == [1]


def test_a_day_gets_one_file_until_it_is_full_however_often_it_is_flushed(
    tmp_path, stream, historian
):
    follows = historian(rows_max=4, linger_s=0.0)
    for seq in range(1, 10):
        stream.events.append(event(seq))
        follows.step()
    assert [len(pq.ParquetFile(path).read()) for path in files(tmp_path)] == [4, 4, 1]
    assert seqs(tmp_path) == list(range(1, 10))


def test_rows_stand_under_the_utc_day_of_their_receipt(tmp_path, stream, historian):
    stream.events += [event(1, at_ms=DAY_MS - 1), event(2, at_ms=DAY_MS)]
    historian(linger_s=0.0).step()
    days = [(path.parent.name, path.name) for path in files(tmp_path)]
    assert days == [
        ("day=1970-01-01", "001-00000-00000001-000000000001.parquet"),
        ("day=1970-01-02", "001-00000-00000001-000000000002.parquet"),
    ]


def test_what_was_taken_but_not_flushed_is_taken_again(tmp_path, stream, historian):
    stream.events += [event(1), event(2)]
    historian().step()
    again = historian(linger_s=0.0)
    again.step()
    assert (seqs(tmp_path), again.checkpoint.rows) == ([1, 2], 2)


@pytest.mark.parametrize("crash_at", range(1, 16))
def test_a_crash_between_any_two_steps_of_a_flush_loses_and_doubles_nothing(
    tmp_path, stream, historian, crash_at, monkeypatch
):
    first = historian(linger_s=0.0)
    stream.events += [event(1), event(2, at_ms=DAY_MS)]
    first.step()
    stream.events += [event(3), event(4, at_ms=DAY_MS), event(5, at_ms=2 * DAY_MS)]

    class Crash(BaseException):
        """Ends everything, as a kill does."""

    steps = 0

    def counted(real):
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == crash_at:
                raise Crash
            return real(*args, **kwargs)

        return step

    with monkeypatch.context() as patched:
        patched.setattr("app.history.files.os.fsync", counted(lambda _: None))
        patched.setattr("app.history.files.sync_folder", counted(lambda _: None))
        patched.setattr("pathlib.Path.replace", counted(type(tmp_path).replace))
        with pytest.raises(Crash):
            first.step()
    again = historian(linger_s=0.0)
    again.step()
    assert (seqs(tmp_path), again.checkpoint.rows) == ([1, 2, 3, 4, 5], 5)
    assert files(tmp_path, "*.part") == []


def test_an_event_that_does_not_read_is_counted_and_holds_up_no_other(
    tmp_path, stream, historian, caplog
):
    stream.events += [event(1), event(2, kind=Kind.DECISION), event(3)]
    follows = historian(linger_s=0.0)
    follows.step()
    assert (seqs(tmp_path), follows.checkpoint.unreadable) == ([1, 3], 1)
    assert "seq=2) is passed over" in caplog.text


def test_events_that_the_stream_does_not_have_any_more_are_counted(stream, historian, caplog):
    stream.events += [event(3), event(4), event(7), event(2, epoch=5), event(1, writer=1)]
    follows = historian(linger_s=0.0)
    follows.step()
    assert follows.checkpoint.missed == 2 + 2 + 1
    assert "2 events before EventId(region=1, writer=0, epoch=1, seq=7) are missing" in caplog.text


def test_kinds_that_are_not_kept_move_the_position_with_the_next_rows(stream, historian):
    stream.events += [event(1, kind=Kind.SEAL), event(2)]
    follows = historian(linger_s=0.0)
    follows.step()
    assert follows.checkpoint == Checkpoint(flush=1, positions={"1/0": (1, 2)}, rows=1)


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_files_without_a_readable_checkpoint_are_refused(tmp_path, stream, historian, damage):
    stream.events.append(event(1))
    historian(linger_s=0.0).step()
    path = tmp_path / "history" / "checkpoint.json"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(HistoryError, match=r"checkpoint\.json (is gone|cannot be read).* move "):
        historian()
    assert seqs(tmp_path) == [1]


def test_an_event_whose_values_fit_no_column_is_passed_over_alone(tmp_path, historian, stream):
    stream.events = [event(seq) for seq in range(1, 8)]
    stream.events[4] = event(5, amount_ref=2**63)
    follows = historian()
    follows.step()
    follows.flush()
    assert (seqs(tmp_path), follows.checkpoint.unreadable) == ([1, 2, 3, 4, 6, 7], 1)
