"""A campaign that was cut goes on in its folder, and another one has a folder of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import OperatorError
from chaos.campaign import RESULTS, campaign_folder
from chaos.engine.remote import load_remote
from chaos.engine.results import begun, ended, write_results
from chaos.engine.running import Options

OPTIONS = Options(commit="abc", seed=7)
FLEET = """\
home = "us-east-1"
key_file = "key"
trusted_keys = "keys"
[endpoints]
eu-west-1 = "https://eu.example"
us-east-1 = "https://us.example"
"""


def kept(folder, *, over):
    results = begun(commit="abc", seed=7)
    if over:
        ended(results)
    write_results(folder / RESULTS, results)
    return folder


def test_a_campaign_that_was_cut_goes_on(tmp_path):
    cut = kept(tmp_path / "2026-01-01", over=False)
    assert campaign_folder(tmp_path, OPTIONS) == cut


@pytest.mark.parametrize("other", [{"commit": "def"}, {"seed": 8}])
def test_another_commit_or_seed_begins_anew(tmp_path, other):
    cut = kept(tmp_path / "2026-01-01", over=False)
    assert campaign_folder(tmp_path, replace(OPTIONS, **other)) != cut


def test_a_second_campaign_of_a_day_does_not_write_over_the_first(tmp_path):
    first = campaign_folder(tmp_path, OPTIONS)
    kept(first, over=True)
    assert campaign_folder(tmp_path, OPTIONS).name == f"{first.name}-2"


def test_a_fleet_of_others_is_reached_from_the_region_of_the_callers(tmp_path):
    (tmp_path / "fleet.toml").write_text(FLEET)
    (tmp_path / "key").write_text("sk_1\n")
    found = load_remote(tmp_path / "fleet.toml", tmp_path)
    assert list(found.endpoints("us-east-1")) == ["us-east-1", "eu-west-1"]
    assert (found.key, found.trusted_keys) == ("sk_1", tmp_path / "keys")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('"https://us.example"', '"us.example"', "names no fleet"),
        ('home = "us-east-1"', 'home = "sa-east-1"', "no endpoint of sa-east-1"),
        ('key_file = "key"', 'key_file = "none"', "none cannot be read"),
        ('trusted_keys = "keys"', 'trusted = "keys"', "unknown field `trusted`"),
    ],
)
def test_what_is_wrong_with_a_fleet_is_one_sentence(tmp_path, before, after, why):
    (tmp_path / "fleet.toml").write_text(FLEET.replace(before, after))
    (tmp_path / "key").write_text("sk_1\n")
    with pytest.raises(OperatorError, match=why):
        load_remote(tmp_path / "fleet.toml", tmp_path)
