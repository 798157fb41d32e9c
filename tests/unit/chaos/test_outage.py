"""What an outage lost and what it counted twice, beside what was wrong before."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos.outage import since


@pytest.mark.parametrize(
    ("before", "after", "lost", "twice"),
    [
        ({"a": 0}, {"a": 0}, 0, 0),
        ({"a": 0}, {"a": 3, "b": 1}, 4, 0),
        ({"a": 0}, {"a": -2}, 0, 2),
        ({"a": 5, "b": -3}, {"a": 5, "b": -3}, 0, 0),
        ({"a": 5, "b": -3}, {"a": 0, "b": 0}, 0, 0),
        ({"a": 5, "b": -3}, {"a": 6, "b": -4}, 1, 1),
    ],
    ids=["well", "lost", "twice", "as before", "healed meanwhile", "more of both"],
)
def test_only_what_came_since_is_told(before, after, lost, twice):
    assert since(Counter(before), Counter(after)) == (lost, twice)
