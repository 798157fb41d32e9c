"""How much processor time was wanted here and given to others."""

from __future__ import annotations

import pytest

from chaos.engine import stolen
from chaos.engine.stolen import WINDOW_S, Stolen, wait_until_ours, watched


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine's counts; each step adds ticks."""
    path, counts = tmp_path / "stat", {"busy": 1_000, "idle": 5_000, "stolen": 100}

    def step(*, busy=0, idle=0, taken=0):
        for name, more in {"busy": busy, "idle": idle, "stolen": taken}.items():
            counts[name] += more
        first = f"cpu  {counts['busy']} 0 0 {counts['idle']} 0 0 0 {counts['stolen']} 0 0"
        path.write_text(f"{first}\ncpu0 1 2 3\n", "ascii")

    step()
    monkeypatch.setattr(stolen, "_STAT", path)
    return step


def after(steps, machine):
    found = Stolen()
    found.look()
    for one in steps:
        machine(**one)
        found.look()
    return found


def test_it_is_the_share_of_what_was_wanted_whatever_was_idle(machine):
    found = after([{"busy": 20, "idle": 160, "taken": 20}] * WINDOW_S, machine)
    assert found.worst == found.last == pytest.approx(0.5)


def test_nothing_is_said_of_less_than_a_window(machine):
    found = after([{"busy": 1, "taken": 99}] * (WINDOW_S - 1), machine)
    assert (found.worst, found.last) == (0.0, None)


def test_the_worst_window_counts(machine):
    quiet, taken = {"busy": 100}, {"busy": 80, "taken": 20}
    found = after([*[quiet] * 10, *[taken] * WINDOW_S, *[quiet] * 10], machine)
    assert found.worst == pytest.approx(0.2)
    assert found.last == 0.0


def test_where_the_system_does_not_tell_nothing_was_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(stolen, "_STAT", tmp_path / "none")
    assert after([{}] * 5, lambda: None).worst == 0.0
    assert wait_until_ours()


def test_a_wait_is_given_up(machine, monkeypatch):
    monkeypatch.setattr(stolen.time, "sleep", lambda _: machine(busy=1, taken=1))
    assert not wait_until_ours(patience_s=0.05)


def test_a_wait_ends_when_the_processors_are_ours(machine, monkeypatch):
    monkeypatch.setattr(stolen.time, "sleep", lambda _: machine(busy=10))
    assert wait_until_ours()


def test_it_is_watched_for_as_long_as_a_block_lasts(machine, monkeypatch):
    monkeypatch.setattr(stolen, "EVERY_S", 0.001)
    with watched() as found:
        while not found.worst:
            machine(busy=1, taken=1)
    assert 0 < found.worst <= 1
