"""A region leaves as the runbook says and is destroyed; nothing of another has to be touched for it.

The last of the tests on moto: what they share is gone behind it.
"""

from __future__ import annotations

import re

import pytest
import yaml

from tests.terraform.conftest import ALL, REGIONS

LEAVES, *STAY = REGIONS
# Nobody can delete what is locked, so that the buckets stay, and Terraform forgets them.
LOCKED = ("module.record", "module.anchors")

pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture(scope="module")
def left(world):
    """Steps 2 to 4 of the runbook: out of the others' meshes, its own mesh, then the region."""
    for name in STAY:
        mesh = world["mesh", name]
        mesh.variables["record_copy_region"] = ALL[-1]
        mesh.apply()
    told = [world["mesh", LEAVES].destroy()]
    world["region", LEAVES].forget(*LOCKED)
    told.append(world["region", LEAVES].destroy())
    return told


@pytest.fixture(scope="module")
def retired(left, tree):
    """Step 5: its number is retired, and the topology has no such region."""
    file = tree / "regions/topology.yaml"
    topology = yaml.safe_load(file.read_text())
    topology["retired_numbers"].append(topology["regions"].pop(LEAVES)["number"])
    for region in topology["regions"].values():
        region["sources"].remove(LEAVES)
    topology["links"] = [one for one in topology["links"] if LEAVES not in one["between"]]
    file.write_text(yaml.safe_dump(topology))


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("of", ["global", *STAY])
def test_who_stays_has_nothing_to_change_when_another_is_destroyed(world, of):
    for one in (one for (_, name), one in world.items() if name == of):
        done = one.plan()
        assert done.returncode == 0, (one.root, done.stdout[-4_000:])


@pytest.mark.usefixtures("retired")
@pytest.mark.parametrize("region", STAY)
def test_who_stays_has_nothing_to_change_when_the_topology_has_no_such_region(world, region):
    for root in ("region", "mesh"):
        done = world[root, region].plan()
        assert done.returncode == 0, (root, done.stdout[-4_000:])


@pytest.mark.usefixtures("retired")
def test_what_there_is_once_forgets_the_region(world):
    assert world["global", "global"].plan().returncode == 2
    world["global", "global"].apply()
    assert world["global", "global"].plan().returncode == 0


@pytest.mark.usefixtures("retired")
def test_everything_that_was_applied_is_destroyed(world, left):
    for name in STAY:
        left.append(world["mesh", name].destroy())
        world["region", name].forget(*LOCKED)
        left.append(world["region", name].destroy())
    # Its versions tell who switched what: AWS deletes no bucket that has any.
    world["global", "global"].forget("aws_s3_bucket.switches")
    left.append(world["global", "global"].destroy())
    assert len(left) == len(world)
    for told in left:
        assert re.search(r"Destroy complete! Resources: [1-9]", told)
