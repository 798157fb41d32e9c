"""The world's settings: a file, then variables, then the command line; refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from regions.world.errors import SettingsError
from regions.world.settings import load_settings


def load(folder: Path, environ: dict[str, str] | None = None, home: Path | None = None):
    return load_settings(environ=environ or {}, folder=folder, home=home)


def test_the_defaults_are_one_region_on_loopback(tmp_path):
    settings = load(tmp_path)
    assert settings.home == tmp_path / ".stepdown"
    assert settings.regions == ("us-east-1", "eu-west-1", "ap-southeast-1")
    assert (settings.host, settings.port_base, settings.workers) == ("127.0.0.1", 18_000, 2)


def test_a_variable_wins_over_the_file_and_the_command_line_over_both(tmp_path):
    (tmp_path / "stepdown.toml").write_text(
        '[world]\nport_base = 20000\nworkers = 3\nhome = "from_file"\n'
    )
    variables = {"STEPDOWN_WORKERS": "4", "STEPDOWN_HOME": "from_variable"}
    settings = load(tmp_path, variables, home=Path("from_command_line"))
    assert settings.port_base == 20_000
    assert settings.workers == 4
    assert settings.home == tmp_path / "from_command_line"


def test_regions_are_separated_by_commas_in_a_variable(tmp_path):
    settings = load(tmp_path, {"STEPDOWN_REGIONS": "us-east-1, eu-west-1"})
    assert settings.regions == ("us-east-1", "eu-west-1")


def test_tables_of_other_parts_of_the_service_are_left_alone(tmp_path):
    (tmp_path / "stepdown.toml").write_text("[scorer]\nlinger_ms = 20\n")
    assert load(tmp_path).workers == 2


def test_a_host_that_others_can_reach_has_to_be_meant(tmp_path):
    with pytest.raises(SettingsError, match="set STEPDOWN_ALLOW_REMOTE=1"):
        load(tmp_path, {"STEPDOWN_HOST": "0.0.0.0"})
    meant = load(tmp_path, {"STEPDOWN_HOST": "0.0.0.0", "STEPDOWN_ALLOW_REMOTE": "1"})
    assert meant.host == "0.0.0.0"
    assert meant.connect_host == "127.0.0.1"


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("STEPDOWN_PORT_BASE", "80", "port_base must be between 1024 and 65400, not 80"),
        ("STEPDOWN_PORT_BASE", "many", "Expected `int`"),
        ("STEPDOWN_WORKERS", "0", "workers must be between 1 and 64, not 0"),
        ("STEPDOWN_REGIONS", "us-east-1,us-east-1", "and none twice"),
        ("STEPDOWN_HOST", "everywhere", "host must be an IP address, not 'everywhere'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_a_sentence(tmp_path, variable, value, problem):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {variable: value})
    assert problem in str(caught.value)


def test_a_setting_that_is_not_known_is_refused_by_name(tmp_path):
    (tmp_path / "stepdown.toml").write_text("[world]\nworker = 3\n")
    with pytest.raises(SettingsError, match="has no setting 'worker'"):
        load(tmp_path)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "stepdown.toml").write_text("world =")
    with pytest.raises(SettingsError, match=r"stepdown\.toml cannot be read"):
        load(tmp_path)
