"""Settings: the file, then the environment; a wrong one stops the start with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import (
    ConfigurationError,
    KinesisAddress,
    S3Address,
    Shard,
    SourceAddress,
    load,
)


@pytest.fixture
def home(tmp_path):
    return tmp_path


def loaded(home, text="", **variables):
    config = home / "stepdown.toml"
    config.write_text(text)
    environ = {f"STEPDOWN_{name.upper()}": value for name, value in variables.items()}
    return load({"STEPDOWN_HOME": str(home), "STEPDOWN_CONFIG": str(config), **environ})


def test_without_a_file_or_variables_the_defaults_hold(tmp_path):
    settings = load({"STEPDOWN_HOME": str(tmp_path / "nowhere")})
    assert settings.deadline_target_ms == 80
    assert settings.profile == "development"


def test_the_home_folder_is_below_the_working_folder_by_default():
    assert load({}).home == Path(".stepdown")


def test_the_file_is_read(home):
    settings = loaded(home, '[scorer]\nworkers = 5\nregion = "eu-west-1"\n')
    assert (settings.workers, settings.region) == (5, "eu-west-1")


def test_the_file_is_looked_for_in_the_current_folder(home, monkeypatch):
    (home / "stepdown.toml").write_text("[scorer]\nworkers = 7\n")
    monkeypatch.chdir(home)
    assert load({}).workers == 7


def test_tables_of_others_in_the_file_are_left_alone(home):
    assert loaded(home, "[world]\nregions = 3\n").workers == 2


def test_the_environment_wins(home):
    assert loaded(home, "[scorer]\nworkers = 5\n", workers="7").workers == 7


def test_the_home_folder_comes_from_the_environment_alone(home):
    assert loaded(home, '[scorer]\nhome = "/elsewhere"\n').home == home


def test_folders_follow_from_home_and_region(home):
    settings = loaded(home, region="eu-west-1")
    assert settings.journal == home / "eu-west-1" / "journal"
    assert settings.published == home / "eu-west-1" / "published"


def test_sources_and_shards_are_taken_apart(home):
    settings = loaded(home, sources="eu=a:1|b:2, us=c:3", store="a:1|b:2")
    assert settings.source_addresses() == (
        SourceAddress("eu", (Shard("a", 1), Shard("b", 2))),
        SourceAddress("us", (Shard("c", 3),)),
    )
    assert settings.store_shards() == (Shard("a", 1), Shard("b", 2))


def test_a_host_may_be_an_address_with_colons(home):
    assert loaded(home, store="::1:6379").store_shards() == (Shard("::1", 6379),)


def test_the_password_is_read_from_its_file(home):
    (home / "password").write_text("secret\n")
    settings = loaded(home, datastore_password_file=str(home / "password"))
    assert settings.datastore_password() == "secret"


def test_without_a_password_file_there_is_no_password(home):
    assert loaded(home).datastore_password() is None


def test_a_missing_password_file_is_named(home):
    settings = loaded(home, datastore_password_file=str(home / "gone"))
    with pytest.raises(ConfigurationError, match=r"^datastore_password_file cannot be .*gone'\.$"):
        settings.datastore_password()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"workers": "many"}, r"Expected `int`, got `str` - at `\$\.workers`"),
        ({"workers": "0"}, r"Expected `int` >= 1 - at `\$\.workers`"),
        ({"api_port": "65536"}, r"Expected `int` <= 65535 - at `\$\.api_port`"),
        ({"profile": "prod"}, r"Invalid enum value 'prod' - at `\$\.profile`"),
        ({"deadline_target_ms": "10"}, r">= 20 - at `\$\.deadline_target_ms`"),
        ({"deadline_target_ms": "200"}, r"deadline_target_ms must not exceed deadline_hard_ms"),
        ({"store": "localhost"}, r"store: 'localhost' is not host:port"),
        ({"store": "localhost:0"}, r"store: 'localhost:0' is not host:port"),
        ({"store": "localhost:99999"}, r"store: 'localhost:99999' is not host:port"),
        ({"sources": "us=a:1|b"}, r"sources: 'b' is not host:port"),
        ({"sources": "a:1"}, r"sources: '' is not host:port"),
        ({"sources": ""}, r"sources: '' names no region"),
        ({"sources": "us=a:1,us=b:2"}, r"sources: 'us=b:2' names no region, or one named before"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(home, variables, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        loaded(home, **variables)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[scorer]\nwrkers = 5\n", r"unknown field `wrkers`"),
        ("[scorer\n", r"stepdown\.toml cannot be read"),
        ("scorer = 3\n", r"scorer is a table"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(home, text, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        loaded(home, text)


def test_a_file_that_is_no_text_is_refused(home):
    (home / "stepdown.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load({"STEPDOWN_CONFIG": str(home / "stepdown.toml")})


def test_the_stream_is_a_server_or_a_kinesis_stream(home):
    assert loaded(home, stream="10.0.0.1:6379").stream_address() == Shard("10.0.0.1", 6379)
    assert loaded(home, stream="kinesis:events").stream_address() == KinesisAddress("events")


def test_object_storage_is_a_folder_or_a_bucket(home):
    def address(text):
        return loaded(home, object_storage=text).object_storage_address()

    assert address("") == home / "us-east-1" / "object-storage"
    assert address("/mnt/objects") == Path("/mnt/objects")
    assert address("s3://journals") == S3Address("journals", "")
    assert address("s3://journals/audit/") == S3Address("journals", "audit/")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stream", "kinesis:"),
        ("stream", "nowhere"),
        ("object_storage", "s3://"),
        ("object_storage", "gs://journals"),
    ],
)
def test_a_stream_or_object_storage_that_cannot_be_is_named(home, name, text):
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        loaded(home, **{name: text})


def test_replay_is_off_by_default(home):
    assert not loaded(home).replay


def test_development_can_be_a_replay(home):
    assert loaded(home, replay="1").replay


@pytest.mark.parametrize("profile", ["staging", "production"])
def test_replay_is_refused_outside_development(home, profile):
    with pytest.raises(ConfigurationError, match=f"{profile} cannot be played"):
        loaded(home, replay="1", profile=profile)


def test_a_host_without_a_file_for_its_number_is_the_regions_only_one(home):
    assert loaded(home).host_number() == 0


def test_a_hosts_number_is_in_its_file(home):
    (home / "host").write_text("240\n")
    assert loaded(home, host_file=str(home / "host")).host_number() == 240


@pytest.mark.parametrize("text", ["", "255", "-1", "one", "²"])
def test_what_is_no_number_of_a_host_is_refused(home, text):
    (home / "host").write_text(text)
    with pytest.raises(ConfigurationError, match="is not a number from 0 to 254"):
        loaded(home, host_file=str(home / "host")).host_number()


def test_a_hosts_number_that_cannot_be_read_is_refused(home):
    with pytest.raises(ConfigurationError, match="host_file cannot be read"):
        loaded(home, host_file=str(home / "nothing")).host_number()


def test_a_ring_has_room_for_any_record_and_can_be_gone_without(home):
    assert loaded(home, journal_ring_folder="").journal_ring_folder == ""
    with pytest.raises(ConfigurationError, match="journal_ring_bytes"):
        loaded(home, journal_ring_bytes="1048576")
