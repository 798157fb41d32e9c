"""What the README says is what happens."""

import json
import re
import subprocess
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
# What differs from one asking to the next, or from one training to the next.
VOLATILE = {"decision_id", "as_of", "feature_age_ms", "took_ms", "token", "score", "model"}


def block(language, containing):
    for found in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL):
        if containing in found:
            return found
    raise AssertionError(f"the README has no {language} block with {containing}")


def test_the_curl_example_gives_the_answer_printed_there(service):
    command = block("sh", "curl")
    command = command.replace("http://127.0.0.1:18000", service.api)
    command = command.replace(".stepdown/dev-key", str(service.home / "dev-key"))
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30
    )
    got, printed = json.loads(done.stdout), json.loads(block("json", "decision_id"))
    assert list(got) == list(printed)
    for name in set(printed) - VOLATILE:
        assert got[name] == printed[name], name
    assert got["score"] == pytest.approx(printed["score"], abs=0.05)
    assert got["model"]["provenance"] == "simulated"


def test_every_command_of_the_table_exists(stepdown, tmp_path):
    commands = README.split("## Commands")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([a-z`, ]+)` \|", commands, re.MULTILINE)
    names = [name for cell in listed for name in re.findall(r"[a-z]+", cell)]
    assert {"up", "down", "status", "decide"} <= set(names)
    shown = stepdown("--help", home=tmp_path).stdout
    for name in names:
        assert re.search(rf"\b{name}\b", shown), name


def test_links_lead_somewhere():
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert (Path(__file__).parents[2] / path).exists(), target
        assert path or anchor in anchors, target


def test_every_rung_and_its_figure_is_in_the_table():
    for rung in ("full", "batch", "rules", "tier_default"):
        assert re.search(rf"^\| `{rung}` \|.*\| \.\d{{3}} \|", README, re.MULTILINE), rung
