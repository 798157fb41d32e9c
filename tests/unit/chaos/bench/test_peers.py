"""What peers are asked, and how they are locked."""

from __future__ import annotations

import json
import re

import pytest

from chaos.bench.environment import REQUIREMENTS, last_line
from chaos.bench.peers import PEERS, Rows, measure_peers, peers_served

ROWS = Rows(numbers=({"amount": 3.5},), categories=({"country": "US"},))


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_is_asked_with_all_inputs_as_json(name):
    (body,) = ROWS.bodies(PEERS[name].body)
    said = json.loads(body)
    if name == "mlserver":
        assert [(one["name"], one["datatype"], one["data"]) for one in said["inputs"]] == [
            ("amount", "FP32", [3.5]),
            ("country", "BYTES", ["US"]),
        ]
    elif name == "bentoml":
        assert said == {"numbers": {"amount": 3.5}, "categories": {"country": "US"}}
    else:
        assert said == {"amount": 3.5, "country": "US"}


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_is_locked_by_hash_apart_from_the_project(name):
    lock = (REQUIREMENTS / f"peer-{name}.lock").read_text()
    assert "://" not in lock
    assert f"\n{name}==" in lock
    for block in re.split(r"\n(?=[a-z0-9])", lock.strip()):
        assert "--hash=sha256:" in block, block[:80]


@pytest.mark.parametrize("name", ["mlserver", "bentoml"])
def test_the_large_peers_are_no_dependency(name):
    assert f"{name}==" not in (REQUIREMENTS / "all.lock").read_text()


def test_a_peer_that_cannot_be_had_is_a_row_that_says_why(tmp_path):
    blocked = tmp_path / "home"
    blocked.write_text("in the way")
    with peers_served(blocked, tmp_path, port=1, report=lambda _what: None) as served:
        found = measure_peers(served, seconds=1.0, connections=1, report=lambda _share, _what: None)
    assert served.serving == {}
    assert [row["name"] for row in found] == list(PEERS)
    assert all("no environment for" in row["missing"] for row in found)


def test_what_went_wrong_ends_as_a_sentence():
    assert last_line("first\nno such package.\n") == "no such package."
    assert last_line("") == "it said nothing."
