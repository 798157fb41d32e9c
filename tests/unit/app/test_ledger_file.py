"""The shared ledger: one for all who map it, new where it cannot be what it says, never waited for."""

from __future__ import annotations

import fcntl

import pytest

from app.ledger_file import BYTES, LOCK_S_MAX, LedgerFile, LedgerUnavailableError, LockBusyError
from fallback.exposure import CELLS


def test_all_who_map_a_file_see_the_same_cells(tmp_path):
    one, other = (LedgerFile(tmp_path / "ledger", identity=7) for _ in range(2))
    one.cells[CELLS - 1] = 42
    assert other.cells[CELLS - 1] == 42


def test_a_file_is_found_as_it_was_left(tmp_path):
    LedgerFile(tmp_path / "ledger", identity=7).cells[5] = 42
    assert LedgerFile(tmp_path / "ledger", identity=7).cells[5] == 42


def test_cells_of_another_clock_are_void(tmp_path):
    LedgerFile(tmp_path / "ledger", identity=7).cells[5] = 42
    assert LedgerFile(tmp_path / "ledger", identity=8).cells[5] == 0


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * (BYTES + 100)])
def test_a_file_that_holds_something_else_becomes_a_new_ledger(tmp_path, content):
    path = tmp_path / "ledger"
    path.write_bytes(content)
    assert not any(LedgerFile(path, identity=7).cells.tolist())
    assert path.stat().st_size >= max(BYTES, len(content)), "never shorter under who maps it"


def test_a_path_that_can_be_no_file_is_said_in_one_sentence(tmp_path):
    (tmp_path / "ledger").mkdir()
    with pytest.raises(LedgerUnavailableError, match=r"cannot be shared: .*\.$"):
        LedgerFile(tmp_path / "ledger", identity=7)


def test_a_lock_that_another_holds_is_waited_for_two_milliseconds(tmp_path):
    file = LedgerFile(tmp_path / "ledger", identity=7)
    assert LOCK_S_MAX == 0.002
    with (tmp_path / "ledger").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockBusyError, match="locked for 2 ms"), file.locked():
            raise AssertionError("the other one has it")
    with file.locked():
        pass


def test_a_file_that_was_removed_or_replaced_is_no_longer_in_place(tmp_path):
    path = tmp_path / "ledger"
    first = LedgerFile(path, identity=7)
    assert first.in_place()
    path.unlink()
    assert not first.in_place()
    second = LedgerFile(path, identity=7)
    assert second.in_place()
    assert not first.in_place()
