"""A world of several regions on moto, applied root by root as the runbook says."""

from __future__ import annotations

import logging
import os
import shutil
import sys

import boto3
import pytest
from moto.server import ThreadedMotoServer

from regions.topology import load_topology
from tests.terraform.setting import CREDENTIALS, LEFT, OVERRIDE, ROOT, Applied

ALL = tuple(load_topology().regions)
REGIONS = ALL[:2]  # a third one differs in its variables alone, and takes minutes
# What holds data or takes traffic goes without a second thought here.
UNPROTECTED = {"deletion_protection": "false"}


@pytest.fixture(scope="session")
def moto():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a call, thousands of them
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name, value in CREDENTIALS.items():
        patch.setenv(name, value)
    boto3.DEFAULT_SESSION = None
    yield f"http://{host}:{port}"
    patch.undo()
    server.stop()


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A copy of what Terraform reads, so that it writes nothing into the tree."""
    if shutil.which("terraform") is None or "STEPDOWN_TF_PLUGIN_DIR" not in os.environ:
        pytest.skip("needs terraform, and STEPDOWN_TF_PLUGIN_DIR with the AWS provider")
    copy = tmp_path_factory.mktemp("moto")
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "terraform", copy / "terraform", ignore=ignored)
    (copy / "regions").mkdir()
    shutil.copy(ROOT / "regions/topology.yaml", copy / "regions")
    for root in LEFT:
        (copy / "terraform" / root / "moto_override.tf").write_text(OVERRIDE)
    return copy


@pytest.fixture(scope="session")
def world(tree, moto):
    """All roots, applied: `global`, each region, then the mesh of each; by root and name."""
    made = [
        Applied(tree / "terraform/global", "global", moto, {}),
        *(Applied(tree / "terraform/region", name, moto, UNPROTECTED) for name in REGIONS),
        *(Applied(tree / "terraform/mesh", name, moto, {}) for name in REGIONS),
    ]
    begun = set()
    for one in made:
        if one.root not in begun:
            begun.add(one.root)
            folder = os.environ["STEPDOWN_TF_PLUGIN_DIR"]
            one.run("init", "-no-color", f"-plugin-dir={folder}")
        sys.stderr.write(f"\napplying {one.root} {one.name} ...")  # minutes: shown with `-s`
        one.apply()
    return {(one.root, one.name): one for one in made}
