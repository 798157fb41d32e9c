"""The weights document: written whole, versions grow, what cannot be is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
import pytest

from app.weights import WeightsError, change_weights, load_weights, read_weights, weights_path

REGIONS = ("us-east-1", "eu-west-1")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def change(path, *, now=NOW, regions=REGIONS, **weights):
    named = {name.replace("_", "-"): weight for name, weight in weights.items()}
    return change_weights(path, named, regions=regions, now=now)


def test_nothing_was_ever_published(tmp_path):
    assert read_weights(weights_path(tmp_path)) is None


def test_what_is_written_is_what_is_read(tmp_path):
    path = weights_path(tmp_path)
    written = change(path, eu_west_1=10)
    assert read_weights(path) == written
    assert written.weights == {"us-east-1": 100, "eu-west-1": 10}
    assert msgspec.json.decode(path.read_bytes()) == {
        "version": 1,
        "weights": {"us-east-1": 100, "eu-west-1": 10},
        "changed_at": "2026-11-22T12:00:00Z",
    }


def test_each_change_has_a_higher_version(tmp_path):
    path = weights_path(tmp_path)
    assert [change(path, eu_west_1=weight).version for weight in (0, 1, 10)] == [1, 2, 3]


def test_a_change_that_changes_nothing_leaves_version_and_time(tmp_path):
    path = weights_path(tmp_path)
    first = change(path, eu_west_1=0)
    later = datetime(2026, 11, 23, tzinfo=UTC)
    assert change(path, eu_west_1=0, now=later) == first


def test_a_region_that_is_new_has_all_and_one_that_is_gone_has_none(tmp_path):
    path = weights_path(tmp_path)
    change(path, eu_west_1=0)
    held = change(path, regions=("eu-west-1", "ap-southeast-1"))
    assert held.weights == {"eu-west-1": 0, "ap-southeast-1": 100}


def test_a_region_that_does_not_run_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no region 'mars-1'"):
        change(weights_path(tmp_path), mars_1=5)


@pytest.mark.parametrize("weight", [-1, 101])
def test_a_weight_out_of_range_is_refused(tmp_path, weight):
    with pytest.raises(WeightsError, match="between 0 and 100"):
        change(weights_path(tmp_path), eu_west_1=weight)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1}',
        b'{"version": 1, "weights": {}, "changed_at": "2026-11-22T12:00:00Z"}',
        b'{"version": 1, "weights": {"a": 101}, "changed_at": "2026-11-22T12:00:00Z"}',
        b'{"version": 1, "weights": {"a": 1}, "changed_at": "2026-11-22T12:00:00"}',
        b'{"version": -1, "weights": {"a": 1}, "changed_at": "2026-11-22T12:00:00Z"}',
    ],
)
def test_a_file_that_is_no_weights_is_refused_and_not_overwritten(tmp_path, content):
    path = weights_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="holds no weights"):
        read_weights(path)
    with pytest.raises(WeightsError, match="holds no weights"):
        change(path, eu_west_1=1)
    assert path.read_bytes() == content


def test_of_changes_at_the_same_time_none_is_lost(tmp_path):
    path = weights_path(tmp_path)
    change(path)
    regions = tuple(f"us-east-{number}" for number in range(8))
    with ThreadPoolExecutor() as pool:
        changes = [
            pool.submit(change_weights, path, {region: 7}, regions=regions, now=NOW)
            for region in regions
        ]
        assert len({one.result().version for one in changes}) == len(regions)
    assert set(read_weights(path).weights.values()) == {7}


def test_a_failed_write_is_said_in_a_sentence(tmp_path):
    (tmp_path / "published").write_text("a file where a folder should be")
    with pytest.raises(WeightsError, match="cannot be written"):
        change(weights_path(tmp_path), eu_west_1=1)


def test_a_follower_is_told_of_a_file_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match="not there"):
        load_weights(tmp_path / "weights.json")
