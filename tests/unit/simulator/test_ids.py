from __future__ import annotations

import re

import numpy as np

from app.simulator.ids import opaque_ids


def test_ids_are_a_prefix_and_sixteen_letters():
    ids = opaque_ids("tok_", 1, np.arange(1_000)).to_pylist()
    assert all(re.fullmatch("tok_[a-z]{16}", one) for one in ids)


def test_no_two_rows_share_an_id():
    ids = opaque_ids("tok_", 1, np.arange(50_000)).to_pylist()
    assert len(set(ids)) == 50_000


def test_ids_of_other_seeds_and_kinds_differ():
    rows = np.arange(100)
    tails = [
        {one.split("_")[1] for one in opaque_ids(prefix, seed, rows).to_pylist()}
        for prefix, seed in (("tok_", 1), ("tok_", 2), ("dev_", 1))
    ]
    assert not tails[0] & tails[1]
    assert not tails[0] & tails[2]


def test_no_rows_give_no_ids():
    assert opaque_ids("tok_", 1, np.arange(0)).to_pylist() == []
