"""A fault in turns comes and goes, and is gone at the end."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from chaos.engine.alternating import in_turns


class Fault:
    def __init__(self, *, turns=0):
        self.turns = turns
        self.entered = self.left = 0
        self.enough = threading.Event()

    @contextmanager
    def __call__(self):
        self.entered += 1
        if self.entered >= self.turns:
            self.enough.set()
        yield
        self.left += 1


def test_it_comes_and_goes_until_the_block_ends():
    fault = Fault(turns=5)
    with in_turns(fault, share=0.5, period_s=0.002):
        assert fault.enough.wait(10)
    assert fault.entered == fault.left >= 5


def test_all_the_time_is_one_turn():
    fault = Fault()
    with in_turns(fault, share=1.0, period_s=0.001):
        assert (fault.entered, fault.left) == (1, 0)
    assert (fault.entered, fault.left) == (1, 1)


def test_a_fault_that_cannot_be_done_is_told_at_the_end():
    @contextmanager
    def broken():
        raise RuntimeError("refused")
        yield

    with pytest.raises(RuntimeError, match="refused"), in_turns(broken, share=0.5, period_s=0.01):
        pass
