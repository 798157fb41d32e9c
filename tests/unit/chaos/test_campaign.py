"""A campaign that was cut goes on in its folder, and another one has a folder of its own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from app.errors import OperatorError
from chaos.campaign import RESULTS, Campaign, campaign_folder, run_again, run_campaign
from chaos.engine.remote import load_remote
from chaos.engine.results import begun, ended, read_results, write_results
from chaos.engine.running import Options
from chaos.engine.spec import load_drills

OPTIONS = Options(commit="abc", seed=7)
FLEET = """\
home = "us-east-1"
key_file = "key"
trusted_keys = "keys"
[endpoints]
eu-west-1 = "https://eu.example"
us-east-1 = "https://us.example"
"""


class Ground:
    """Two regions with no history and no samples, so that no load can be made."""

    regions = ("us-east-1", "eu-west-1")
    region = "us-east-1"
    plan = SimpleNamespace(links=[SimpleNamespace(name="replication:us-east-1:eu-west-1:0")])

    def __init__(self, home):
        self.home = home

    def network(self):
        return None

    def named(self, target):
        return target.replace("{region}", self.region)


def campaign(*names):
    drills = tuple(load_drills()[name] for name in names)
    return Campaign(drills=drills, options=OPTIONS, pairs=0, smoke=True, apart=())


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


def test_what_cannot_be_run_is_kept_as_such_and_the_campaign_goes_on(tmp_path):
    found = run_campaign(
        Ground(tmp_path),
        campaign("overload", "stream-killed"),
        tmp_path / "results",
        report=lambda *_: None,
    )
    assert set(found.errors) == {"overload", "stream-killed"}
    assert not found.passed
    assert read_results(tmp_path / "results" / RESULTS).ended_at is not None


def test_without_proxies_before_a_region_s_own_stores_no_campaign_begins(tmp_path):
    with pytest.raises(OperatorError, match="STEPDOWN_PROXIED=all"):
        run_campaign(
            Ground(tmp_path), campaign("store-slow"), tmp_path / "results", report=lambda *_: None
        )
    assert not (tmp_path / "results").exists()


def test_what_was_not_as_it_has_to_be_alone_is_run_again_and_not_from_kept_episodes(
    tmp_path, monkeypatch
):
    folder = kept(tmp_path / "2026-01-01", over=True)
    results = read_results(folder / RESULTS)
    results.errors = {"overload": "it did not start"}
    write_results(folder / RESULTS, results)
    ran = []

    def run(_ground, drill, options, *, report):
        ran.append((drill.name, options.resume))
        raise OperatorError("nor did it now.")

    monkeypatch.setattr("chaos.campaign.run_drill", run)
    found = run_again(
        Ground(tmp_path), campaign("overload", "stream-killed"), folder, report=lambda *_: None
    )
    assert ran == [("overload", False)]
    assert found.errors == {"overload": "nor did it now."}
    assert read_results(folder / RESULTS).errors == found.errors


def test_a_campaign_that_was_cut_is_not_run_again(tmp_path):
    folder = kept(tmp_path / "2026-01-01", over=False)
    with pytest.raises(OperatorError, match="'make campaign' goes on"):
        run_again(Ground(tmp_path), campaign("overload"), folder, report=lambda *_: None)
