"""The three roots: form, validity, their own tests against a mocked AWS, and what they hand on.

Needs Terraform and its AWS provider on disk; nothing is downloaded, and no account is used.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tomllib
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
SHARED = ("keys.json", "secrets/token")  # the same in every region, so that no setting names them
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
def state(tested):
    """Of the region that was applied."""
    (applied,) = (told for file, told in tested.items() if file.name == APPLIED)
    (state,) = (one["test_state"] for one in applied if one["type"] == "test_state")
    return state


@pytest.fixture(scope="module")
def outputs(state):
    """What the region that was applied tells."""
    return {name: output["value"] for name, output in state["outputs"].items()}


@pytest.fixture(scope="module")
def made(state):
    """Values of all resources of a type in the region that was applied."""

    def below(module):
        yield from module.get("resources", ())
        for child in module.get("child_modules", ()):
            yield from below(child)

    resources = [one for one in below(state["root_module"]) if one["mode"] == "managed"]
    return lambda kind: [one["values"] for one in resources if one["type"] == kind]


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
        *("follow", "host_file"),
    ):
        assert getattr(settings, name) != getattr(embedded, name), name
    assert set(settings.endpoint_addresses()) == set(load_topology().regions)


def test_what_the_settings_name_is_what_is_made_and_nothing_else_holds_data(outputs, made):
    settings = load(outputs["settings"])
    named = {settings.object_storage_address().bucket, settings.anchors_address().bucket}
    others = {outputs["data"]["models"], outputs["data"]["models"].replace("models", "logs")}
    assert {one["bucket"] for one in made("aws_s3_bucket")} == named | others
    assert {one["name"] for one in made("aws_kinesis_stream")} == {settings.stream_address().stream}
    groups = [one["primary_endpoint_address"] for one in made("aws_elasticache_replication_group")]
    assert [shard.host for shard in settings.store_shards()] == groups
    own = settings.endpoint_addresses()[settings.region]
    assert own.removeprefix("https://") in {one["name"] for one in made("aws_route53_record")}


def test_a_host_has_every_file_that_the_settings_name_before_a_program_starts(outputs, made):
    settings = load(outputs["settings"])
    files = {settings.datastore_password_file, *(f"{settings.home}/{one}" for one in SHARED)}
    scripts = [base64.b64decode(one["user_data"]).decode() for one in made("aws_launch_template")]
    assert len(scripts) == 2
    for script in scripts:
        fetched = re.findall(r"^fetch '.*' '(.*)'$", script, re.MULTILINE)
        assert {f"{settings.home}/{one}" for one in fetched} == files
        assert f'echo "$number" > {settings.host_file}\n' in script
        assert f"to={settings.published}\n" in script
    assert len(made("aws_secretsmanager_secret")) == len(files)


def test_every_program_is_given_all_settings(outputs, made):
    given = {}
    for task in made("aws_ecs_task_definition"):
        (container,) = json.loads(task["container_definitions"])
        given[container["name"]] = {one["name"]: one["value"] for one in container["environment"]}
    for program in outputs["programs"]:
        assert given[program] == outputs["settings"], program


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


def test_every_action_that_a_drill_names_has_an_experiment_or_a_reason_for_none(outputs):
    named = {
        action
        for drill in (ROOT / "chaos/drills").glob("*.toml")
        for action in re.findall(
            r"aws:[a-z0-9]+:[a-z0-9-]+", tomllib.loads(drill.read_text())["fis"]
        )
    }
    templates, without = outputs["experiments"]["templates"], outputs["experiments"]["without"]
    made = {one["action"] for one in templates.values()}
    assert named - made == set(without)
    assert all(reason.endswith(".") for reason in without.values())


def test_every_experiment_stops_by_an_alarm(outputs):
    stops = [one["stops"] for one in outputs["experiments"]["templates"].values()]
    assert stops == [["aws:cloudwatch:alarm"]] * len(stops)


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
