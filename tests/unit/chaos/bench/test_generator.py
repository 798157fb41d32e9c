"""The generator's own parts: times, requests, answers."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from chaos.bench.generator import PLACEHOLDER, _length, _split, _times


def test_times_are_those_of_a_poisson_process():
    times = list(_times(random.Random(3), 200.0, 10.0, 60.0))
    assert times == sorted(times)
    assert times[0] > 10.0
    assert times[-1] < 60.0
    assert len(times) == pytest.approx(10_000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.05)


def test_the_same_seed_gives_the_same_times():
    once, again = (list(_times(random.Random(7), 50.0, 0.0, 2.0)) for _ in range(2))
    assert once == again


def test_a_request_is_split_where_the_fresh_id_goes():
    assert _split(b"a" + PLACEHOLDER + b"z") == (b"a", b"z")
    assert _split(b"az") == (b"az", b"")


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\nX: y", 42),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 7", 7),
        (b"HTTP/1.1 204 No Content", 0),
    ],
)
def test_the_length_of_an_answer_is_read_in_any_case(head, length):
    assert _length(head) == length
