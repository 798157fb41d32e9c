"""The three roots: form, validity, their own tests against a mocked AWS, and what they hand on.

Needs Terraform and its AWS provider on disk; nothing is downloaded, and no account is used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.settings import ScorerSettings, load
from chaos.bench.prices import load_prices
from regions.topology import load_topology
from regions.world.embedded import embedded_plan
from regions.world.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
ROOTS = ("global", "mesh", "region")
FILES = sorted(one for root in ROOTS for one in (ROOT / "terraform" / root / "tests").glob("*.hcl"))
APPLIED = "applied.tftest.hcl"
PROVIDER = "registry.terraform.io/hashicorp/aws"
PREFIXES = ("/opt", "/usr", "/usr/local", "/var/lib", str(Path.home()))
MIRRORS = (  # where Terraform looks without being told
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
)
TESTS_S_MAX = 280


def plugin_folder() -> Path | None:
    """The first folder that holds the AWS provider, as Terraform lays out a mirror."""
    named = os.environ.get("STEPDOWN_TF_PLUGIN_DIR")
    if named:
        return Path(named)
    candidates = [Path(one).expanduser() for one in MIRRORS]
    for prefix in PREFIXES:
        candidates += [one.parent for one in Path(prefix).glob("*/registry.terraform.io")]
        candidates += [one.parent for one in Path(prefix).glob("*/*/registry.terraform.io")]
    return next((one for one in candidates if (one / PROVIDER).is_dir()), None)


def missing() -> str | None:
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    folder = plugin_folder()
    if folder is None or not (folder / PROVIDER).is_dir():
        return f"there is no folder with {PROVIDER} (STEPDOWN_TF_PLUGIN_DIR names one)"
    return None


pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=f"{missing()}: the roots are NOT tested here"),
    pytest.mark.timeout(2 * TESTS_S_MAX),
]


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["terraform", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TESTS_S_MAX,
        env=os.environ | {"TF_CLI_CONFIG_FILE": "", "CHECKPOINT_DISABLE": "1"},
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what Terraform reads, initialised, so that it writes nothing into the tree."""
    copy = tmp_path_factory.mktemp("roots")
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "terraform", copy / "terraform", ignore=ignored)
    (copy / "regions").mkdir()
    shutil.copy(ROOT / "regions/topology.yaml", copy / "regions")
    for root in ROOTS:
        done = terraform(
            copy / "terraform" / root,
            *("init", "-backend=false", "-no-color", f"-plugin-dir={plugin_folder()}"),
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return copy / "terraform"


@pytest.fixture(scope="module")
def tested(tree):
    """What each file of tests told, as a list of messages; run side by side."""

    def told(file: Path) -> list[dict]:
        # The applied region's outputs are read below; they come with all of the provider's schema,
        # which takes longer than everything else, so that no other file tells as much.
        verbose = ["-verbose"] if file.name == APPLIED else []
        filtered = f"-filter=tests/{file.name}"
        done = terraform(file.parents[1], "test", "-json", filtered, *verbose)
        return [json.loads(line) for line in done.stdout.splitlines()]

    files = [tree / one.relative_to(ROOT / "terraform") for one in FILES]
    with ThreadPoolExecutor(len(files)) as pool:
        return dict(zip(FILES, pool.map(told, files), strict=True))


@pytest.fixture(scope="module")
def outputs(tested):
    """Outputs of the region that was applied."""
    (applied,) = (told for file, told in tested.items() if file.name == APPLIED)
    (state,) = (one["test_state"] for one in applied if one["type"] == "test_state")
    return {name: output["value"] for name, output in state["outputs"].items()}


def test_everything_is_formatted():
    done = terraform(ROOT / "terraform", "fmt", "-check", "-recursive")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_is_valid_without_a_warning(tree, root):
    told = json.loads(terraform(tree / root, "validate", "-json").stdout)
    assert told["valid"], told
    assert told["diagnostics"] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.partition(".")[0])
def test_a_roots_own_tests_pass(tested, file):
    (summary,) = [one["test_summary"] for one in tested[file] if one["type"] == "test_summary"]
    problems = [one["diagnostic"] for one in tested[file] if one["type"] == "diagnostic"]
    assert summary["status"] == "pass", problems
    assert summary["passed"] == len(re.findall(r'^run "', file.read_text(), re.MULTILINE))


def test_the_service_starts_with_the_settings_that_terraform_gives_it(outputs):
    given = outputs["settings"]
    known = {f"STEPDOWN_{name.upper()}" for name in ScorerSettings.__struct_fields__}
    assert set(given) <= known
    settings = load(given)
    assert settings.region == "us-east-1"
    assert settings.profile == "production"


def test_terraform_makes_everything_that_a_setting_can_name_on_aws(outputs):
    # What is left at its default would be a file, a folder or a port of this machine.
    settings, embedded = load(outputs["settings"]), ScorerSettings()
    for name in (
        *("home", "sources", "store", "stream", "object_storage", "anchors"),
        *("datastore_password_file", "datastore_tls", "endpoints", "profile", "fleet_hosts"),
    ):
        assert getattr(settings, name) != getattr(embedded, name), name
    assert set(settings.endpoint_addresses()) == set(load_topology().regions)


def test_the_programs_are_those_that_run_on_one_machine(outputs, tmp_path):
    world = load_settings(
        environ={"STEPDOWN_REGIONS": "us-east-1"}, folder=tmp_path, home=tmp_path / "home"
    )
    plan = embedded_plan(world, load_topology())
    # ElastiCache, Kinesis and Route 53 are in the place of these.
    replaced = {"datastore", "stream", "dns"}
    here = {spec.name.partition("/")[2]: spec for spec in plan.processes}
    assert set(outputs["programs"]) == set(here) - replaced
    for name, program in outputs["programs"].items():
        assert tuple(program["module"]) == here[name].command[2:], name
        assert program["stop_s"] >= here[name].stop_timeout_s, name


def test_a_scorer_has_time_to_end_before_it_is_killed_and_outlasts_the_balancer(
    outputs, monkeypatch
):
    monkeypatch.delenv("STEPDOWN_CONFIG", raising=False)
    from app import gunicorn_conf

    timings, stop_s = outputs["timings"], outputs["programs"]["scorer"]["stop_s"]
    assert stop_s > gunicorn_conf.graceful_timeout
    # The balancer closes an idle connection first, never the scorer.
    assert timings["idle_timeout_s"] < gunicorn_conf.keepalive
    # Requests stop before the SIGTERM comes, even where only health checks notice.
    noticed_s = timings["health_interval_s"] * timings["unhealthy_threshold"]
    hard_s = load(outputs["settings"]).deadline_hard_ms / 1_000
    assert timings["deregistration_delay_s"] > noticed_s + hard_s


def test_every_machine_of_a_region_has_a_price(outputs):
    prices, nodes = load_prices(ROOT / "terraform/prices.toml"), outputs["nodes"]
    assert {one["type"] for one in nodes["hosts"].values()} <= set(prices.hosts)
    assert set(nodes["datastores"]) <= set(prices.datastores)


@pytest.mark.parametrize("region", load_topology().regions)
def test_each_region_has_variables_and_a_state_of_its_own(region):
    backend = (ROOT / f"terraform/region/regions/{region}.s3.tfbackend").read_text()
    assert re.search(rf'^region\s*=\s*"{region}"$', backend, re.MULTILINE)
    assert re.search(rf'^key\s*=\s*"region/{region}.tfstate"$', backend, re.MULTILINE)
    variables = (ROOT / f"terraform/region/regions/{region}.tfvars").read_text()
    assert re.search(rf'^region\s*=\s*"{region}"$', variables, re.MULTILINE)
