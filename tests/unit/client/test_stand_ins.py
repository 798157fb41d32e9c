"""What waits to be posted back is bounded, and outlives a restart."""

from __future__ import annotations

import pytest

from stepdown_client.attempt import canonical
from stepdown_client.stand_ins import StandIn, StandIns


def stand_in(number):
    attempt, _ = canonical(
        {
            "attempt_id": f"a{number}",
            "amount": {"value": number, "currency": "USD"},
            "merchant": {"id": "mer_1"},
            "instrument": {"token": "tok_12345678"},
        }
    )
    return StandIn(
        attempt=attempt, action="step_up", decided_at="2026-11-22T10:00:00Z", policy_version=1
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "stand-ins.jsonl"


def test_they_leave_in_the_order_they_came(path):
    queue = StandIns(path, size_max=10)
    for number in range(3):
        queue.add(stand_in(number))
    left = []
    for first in queue.oldest(10):
        left.append(first.attempt.attempt_id)
        queue.done(first, taken=True)
    assert left == ["a0", "a1", "a2"]
    assert path.read_bytes() == b""


def test_the_first_decision_on_an_attempt_stays(path):
    queue = StandIns(path, size_max=10)
    queue.add(stand_in(1))
    queue.add(stand_in(1))
    assert len(queue) == 1
    assert queue.find("a1") == stand_in(1)
    assert queue.find("a2") is None


def test_beyond_the_bound_the_newest_are_dropped_and_counted(path):
    queue = StandIns(path, size_max=2)
    for number in range(5):
        queue.add(stand_in(number))
    assert (len(queue), queue.dropped) == (2, 3)


def test_what_was_not_posted_is_there_after_a_crash(path):
    queue = StandIns(path, size_max=10)
    for number in range(3):
        queue.add(stand_in(number))
    again = StandIns(path, size_max=10)
    assert [again.find(f"a{number}") for number in range(3)] == list(map(stand_in, range(3)))
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_that_was_cut_is_passed_over(path):
    StandIns(path, size_max=10).add(stand_in(1))
    with path.open("ab") as file:
        file.write(b'{"attempt":{"attempt_id"')
    assert len(StandIns(path, size_max=10)) == 1


def test_what_is_left_at_the_end_is_all_that_the_file_holds(path):
    queue = StandIns(path, size_max=10)
    for number in range(3):
        queue.add(stand_in(number))
    queue.done(stand_in(0), taken=True)
    queue.close()
    assert path.read_bytes().count(b"\n") == 2


def test_a_file_that_cannot_be_written_costs_no_stand_in(tmp_path):
    (tmp_path / "file").write_text("")
    queue = StandIns(tmp_path / "file" / "below", size_max=10)
    queue.add(stand_in(1))
    assert queue.oldest(1) == [stand_in(1)]
    assert queue.unwritten > 0


def test_one_that_is_refused_for_good_is_counted_as_dropped(path):
    queue = StandIns(path, size_max=10)
    queue.add(stand_in(1))
    queue.done(stand_in(1), taken=False)
    assert (len(queue), queue.dropped) == (0, 1)
