"""What moto can do is applied and found unchanged, region by region.

`make terraform-moto`. Not part of `make test`: minutes. `left.toml` names what moto cannot do. Then it
is used (`test_used_on_moto.py`) and destroyed, one region first (`test_without_a_region.py`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import combinations

import pytest

from tests.terraform.setting import LEFT, ROOT, declared, matching

ROOTS = tuple(LEFT)

pytestmark = pytest.mark.timeout(1_800)


@pytest.mark.parametrize("root", ROOTS)
def test_nothing_is_left_out_for_no_reason(root):
    every = declared(ROOT / "terraform" / root)
    for pattern in (pattern for table in LEFT[root].values() for pattern in table):
        assert any(fnmatchcase(one, pattern) for one in every), pattern
    for one, other in combinations(LEFT[root], 2):
        assert not matching(root, every, one) & matching(root, every, other)


@pytest.mark.parametrize("root", ROOTS)
def test_everything_else_is_applied(world, root):
    for one in (one for one in world.values() if one.root == root):
        assert one.made() == one.whole - matching(root, one.whole, "none")


@pytest.mark.parametrize("root", ROOTS)
def test_a_second_plan_finds_everything_as_it_was_applied(world, root):
    for one in (one for one in world.values() if one.root == root):
        done = one.plan()
        assert done.returncode == 0, (one.name, done.stdout[-4_000:])


@pytest.mark.parametrize("root", ROOTS)
def test_only_what_is_said_to_drift_does(world, root):
    one = next(one for one in world.values() if one.root == root)
    assert one.changed() == matching(root, one.whole, "drifts")
