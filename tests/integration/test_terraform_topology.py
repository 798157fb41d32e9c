"""Terraform and the service read one topology file, and refuse the same mistakes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = Path("terraform/modules/topology")

pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None,
    reason="terraform is not installed: the topology module is NOT tested here",
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_modules_own_tests_pass(tmp_path):
    # A copy, so that terraform writes nothing into the tree.
    shutil.copytree(ROOT / MODULE, tmp_path / MODULE, ignore=shutil.ignore_patterns(".terraform*"))
    (tmp_path / "regions").mkdir()
    shutil.copy(ROOT / "regions/topology.yaml", tmp_path / "regions")
    for arguments in (("init", "-backend=false"), ("test",)):
        done = run(tmp_path / MODULE, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


def test_the_module_is_formatted():
    done = run(ROOT / MODULE, "fmt", "-check", "-recursive")
    assert done.returncode == 0, done.stdout
