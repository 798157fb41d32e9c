"""The command line as people and machines use it."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import build

PROJECT = Path(__file__).parents[2]


def processes_with(home):
    """Processes whose command line or environment names a home folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in said:
            found.append(folder.name)
    return found


def rungs_of(service, stepdown):
    said = json.loads(stepdown("status", "--json", home=service.home).stdout)
    return said["regions"][service.region]["rungs"]


def test_up_again_is_quick_and_harmless(service, stepdown):
    before = service.world.status()
    again = stepdown("up", "--json", home=service.home, port_base=service.port)
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert said["already_running"] is True
    assert {sample["rung"] for sample in said["samples"]} == {"full"}
    after = service.world.status()
    assert [one.pid for one in before.processes] == [one.pid for one in after.processes]


def test_up_puts_back_what_was_withdrawn(service, stepdown):
    for kind in ("model", "snapshot"):
        (service.published / kind / "current").unlink()
    (service.published / "rules" / "rules.yaml").unlink()
    again = stepdown("up", "--json", home=service.home, port_base=service.port)
    assert again.returncode == 0, again.stderr
    for kind in ("model", "snapshot"):
        assert (service.published / kind / "current").exists()
    assert (service.published / "rules" / "rules.yaml").exists()
    give_up_s = time.monotonic() + 15
    while any(not rung["available"] for rung in rungs_of(service, stepdown).values()):
        assert time.monotonic() < give_up_s


def test_up_on_a_busy_port_is_one_sentence_that_names_the_port(service, trained, stepdown):
    refused = stepdown("up", home=trained, port_base=service.port)
    assert refused.returncode == 2
    assert f"port {service.port + 10} is busy" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stderr.strip().count("\n") <= 1


def test_down_leaves_nothing_running(fresh_service, stepdown):
    assert processes_with(fresh_service.home)
    done = stepdown("down", home=fresh_service.home)
    assert done.returncode == 0
    assert processes_with(fresh_service.home) == []
    again = stepdown("down", home=fresh_service.home)
    assert again.returncode == 0


def test_status_tells_machines_which_rungs_can_be_served(service, stepdown):
    done = stepdown("status", "--json", home=service.home)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rungs = said["regions"][service.region]["rungs"]
    assert list(rungs) == ["full", "batch", "rules", "tier_default"]
    assert all(rung["available"] for rung in rungs.values())


def test_decide_posts_a_sample(service, stepdown):
    done = stepdown("decide", "3", "--json", "--api", service.api, home=service.home)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rung"] == "full"
    assert answer["model"]["provenance"] == "simulated"


def test_decide_for_people_shows_no_token(service, stepdown):
    done = stepdown("decide", "1", "--api", service.api, home=service.home)
    assert re.search(r"action\s+(approve|step_up|decline)", done.stdout)
    assert "v1." not in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("decide", "99"), "there are sample attempts 1 to"),
        (("decide", "nowhere.json"), "nowhere.json cannot be read"),
        (("decide", "1", "--api", "http://127.0.0.1:9"), "no service answers"),
        (("decide", "1", "--api", "nonsense"), "is not the address of a service"),
        (("train", "--data", "nowhere"), "nowhere holds no finished simulation"),
        (("evaluate", "--data", "nowhere"), "nowhere holds no finished simulation"),
        (("keys", "add", "Not A Tenant"), "a tenant is"),
        (("keys", "add", "acme", "--scope", "everything"), "'everything' is not a valid Scope"),
        (("keys", "revoke", "nonsense"), "there is no key 'nonsense'"),
        (("audit", "show", "nonsense"), "no decision id"),
        (("audit", "replay"), "give the id of a decision, or --sample"),
        (("drill", "run", "nonsense"), "there is no drill 'nonsense'"),
        (("drill", "run", "descent"), "'stepdown up' starts it"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, sentence, trained, stepdown):
    done = stepdown(*words, home=trained)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_keys_are_made_listed_and_revoked_without_their_secrets_being_kept(tmp_path, stepdown):
    made = stepdown("keys", "add", "acme", "--scope", "read", "--json", home=tmp_path)
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["key"]
    listed = json.loads(stepdown("keys", "list", "--json", home=tmp_path).stdout)["keys"]
    assert [(one["tenant"], one["scopes"]) for one in listed] == [("acme", ["read"])]
    assert key.split("_", 2)[2] not in (tmp_path / "keys.json").read_text()
    assert stepdown("keys", "revoke", listed[0]["id"], home=tmp_path).returncode == 0
    assert json.loads(stepdown("keys", "list", "--json", home=tmp_path).stdout)["keys"] == []


def test_a_simulation_is_never_written_over_another_by_accident(tmp_path, stepdown):
    words = ("simulate", "--attempts", "2000", "--days", "3", "--out", str(tmp_path / "data"))
    first = stepdown(*words, "--json", home=tmp_path)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["attempts"] > 1_000
    assert stepdown(*words, home=tmp_path).returncode == 2
    assert stepdown(*words, "--overwrite", home=tmp_path).returncode == 0


def test_evaluate_tells_the_metrics_of_every_rung(trained, stepdown):
    done = stepdown("evaluate", "--json", home=trained)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rungs, away = said["rungs"], "full, one region of three away"
    assert list(rungs) == ["full", away, f"{away}, the worst", "batch", "rules", "tier_default"]
    precision = {rung: of["average_precision"] for rung, of in rungs.items()}
    assert 0.6 <= precision["full"] <= 0.95
    assert precision["full"] > precision["batch"] > precision["rules"] > precision["tier_default"]
    assert precision["full"] > precision[away] == said["regions"]["mean"]


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "down",
        "status",
        "decide",
        "simulate",
        "train",
        "evaluate",
        "prices",
        "keys",
        "audit",
        "drill",
        "bench",
        "features",
        "history",
    ],
)
def test_every_command_has_help(command):
    said = CliRunner().invoke(build(), [command, "--help"])
    assert said.exit_code == 0
    assert len(said.output) > 100


def test_make_help_lists_the_targets():
    done = subprocess.run(
        ["make", "-s", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert {"up", "down", "check", "test"} <= {line.split()[0] for line in done.stdout.splitlines()}
