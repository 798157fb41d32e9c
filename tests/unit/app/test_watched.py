"""Files that people edit: followed, refused when wrong, and never lost by accident."""

from __future__ import annotations

import os

import pytest

from app.watched import WatchedFile


def read(path):
    text = path.read_text()
    if "wrong" in text:
        raise ValueError(f"{path.name} is wrong")
    return text


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rules.yaml"


@pytest.fixture
def watched(path):
    return WatchedFile(path, read)


@pytest.fixture
def kept(path):
    return WatchedFile(path, read, keep_when_gone=True)


def test_the_content_is_loaded_once_and_then_when_it_changes(path, watched):
    path.write_text("one")
    assert watched.refresh()
    assert not watched.refresh()
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert watched.refresh()
    assert watched.value == "two"


def test_a_file_that_is_replaced_is_followed_even_when_its_time_is_the_same(path, watched):
    path.write_text("one")
    watched.refresh()
    fresh = path.with_name("fresh")
    fresh.write_text("two")
    os.utime(fresh, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    fresh.replace(path)
    assert watched.refresh()
    assert watched.value == "two"


def test_a_refused_file_leaves_the_last_good_content(path, watched):
    path.write_text("one")
    watched.refresh()
    path.write_text("wrong")
    assert watched.refresh()
    assert (watched.value, watched.refused) == ("one", "rules.yaml is wrong")
    assert not watched.refresh()


def test_a_corrected_file_clears_the_refusal(path, watched):
    path.write_text("wrong")
    watched.refresh()
    path.write_text("right again")
    watched.refresh()
    assert (watched.value, watched.refused) == ("right again", None)


def test_a_file_that_is_gone_is_withdrawn(path, watched):
    path.write_text("one")
    watched.refresh()
    path.unlink()
    assert watched.refresh()
    assert watched.value is None
    assert not watched.refresh()


def test_a_file_that_was_never_there_is_nothing_new(watched):
    assert not watched.refresh()
    assert watched.value is None


def test_content_that_outlives_its_file_says_that_the_file_is_gone(path, kept):
    path.write_text("one")
    kept.refresh()
    path.unlink()
    assert kept.refresh()
    assert kept.value == "one"
    assert "is gone" in kept.refused
    assert not kept.refresh()


def test_a_file_that_comes_back_unchanged_is_in_force_again(path, kept):
    path.write_text("one")
    kept.refresh()
    path.rename(path.with_suffix(".away"))
    kept.refresh()
    path.with_suffix(".away").rename(path)
    assert kept.refresh()
    assert kept.refused is None


def test_a_default_needs_no_file(kept):
    kept.value = "default"
    assert not kept.refresh()
    assert (kept.value, kept.refused) == ("default", None)


def test_a_file_without_a_default_is_missed(kept):
    assert kept.refresh()
    assert "is gone" in kept.refused


@pytest.mark.parametrize("change", ["added", "edited", "removed"])
def test_a_file_beside_it_counts_as_a_change(path, change):
    lists = path.parent / "lists"
    lists.mkdir()
    path.write_text("one")
    (lists / "a.txt").write_text("a")
    watched = WatchedFile(path, read, beside=("lists/*.txt",))
    watched.refresh()
    assert not watched.refresh()
    if change == "added":
        (lists / "b.txt").write_text("b")
    elif change == "edited":
        os.utime(lists / "a.txt", ns=(1, 1))
    else:
        (lists / "a.txt").unlink()
    assert watched.refresh()


def test_a_link_to_nothing_beside_it_withdraws_nothing(path):
    path.write_text("one")
    watched = WatchedFile(path, read, beside=("*.txt",))
    watched.refresh()
    (path.parent / "hot.txt").symlink_to(path.parent / "nothing")
    watched.refresh()
    assert watched.value == "one"


def test_a_path_that_cannot_be_looked_at_is_a_refusal_and_not_a_crash(tmp_path):
    (tmp_path / "file").write_text("x")
    watched = WatchedFile(tmp_path / "file" / "rules.yaml", read)
    assert watched.refresh()
    assert watched.refused is not None
    assert not watched.refresh()
