"""Published versions: swapped whole, refused when damaged, withdrawn by deleting one file."""

from __future__ import annotations

import pytest

from app.publish import CURRENT, PublicationError, Published, publish, verified, withdraw

KIND = "greeting"


def put(folder, text="hello", **facts):
    return publish(folder, kind=KIND, files={"text": text.encode()}, facts=facts)


def load(folder, version):
    verified(folder, version, kind=KIND)
    return (folder / "versions" / version / "text").read_text()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def held(folder):
    return Published(folder, load)


def damage(folder, version, name="text"):
    path = folder / "versions" / version / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_what_is_published_is_loaded(folder, held):
    version = put(folder)
    assert held.refresh()
    assert (held.value, held.version, held.refused) == ("hello", version, None)


def test_nothing_published_is_nothing_held_and_no_change(held):
    assert not held.refresh()
    assert (held.value, held.refused) == (None, None)


def test_looking_again_changes_nothing(folder, held):
    put(folder)
    held.refresh()
    assert not held.refresh()


def test_a_version_is_named_by_its_content(folder):
    first = put(folder)
    assert put(folder) == first
    assert put(folder, "goodbye") != first
    assert put(folder, rows=3) != first
    assert len(list((folder / "versions").iterdir())) == 3


def test_a_file_is_moved_into_the_version(folder, tmp_path):
    made = tmp_path / "made"
    made.write_text("from a file")
    version = publish(folder, kind=KIND, files={"text": made}, facts={})
    assert load(folder, version) == "from a file"
    assert not made.exists()


def test_a_damaged_version_is_refused_and_the_last_good_one_kept(folder, held):
    good = put(folder)
    held.refresh()
    damage(folder, bad := put(folder, "goodbye"))
    assert held.refresh()
    assert (held.value, held.version) == ("hello", good)
    assert held.refused == f"{KIND} {bad}: text is not what was published."


def test_a_changed_manifest_is_refused(folder):
    version = put(folder, rows=3)
    path = folder / "versions" / version / "manifest.json"
    path.write_text(path.read_text().replace("3", "4"))
    with pytest.raises(PublicationError, match=r"manifest\.json is not what was published"):
        verified(folder, version, kind=KIND)


@pytest.mark.parametrize("gone", ["text", "manifest.json"])
def test_a_version_with_a_missing_file_is_refused(folder, gone):
    version = put(folder)
    (folder / "versions" / version / gone).unlink()
    with pytest.raises(PublicationError, match="cannot be read"):
        verified(folder, version, kind=KIND)


def test_a_version_of_another_kind_is_refused(folder):
    version = put(folder)
    with pytest.raises(PublicationError, match="is a greeting, not a model"):
        verified(folder, version, kind="model")


def test_current_that_names_no_version_is_refused(folder, held):
    put(folder)
    held.refresh()
    (folder / CURRENT).write_text("feedfeedfeed\n")
    held.refresh()
    assert held.value == "hello"
    assert "feedfeedfeed cannot be read" in held.refused


def test_current_that_cannot_be_read_is_refused_without_losing_what_is_held(folder, held):
    put(folder)
    held.refresh()
    (folder / CURRENT).write_bytes(b"\xff\xfe")
    assert not held.refresh()
    assert held.value == "hello"
    assert "cannot be read" in held.refused


def test_swapping_back_clears_the_refusal(folder, held):
    put(folder)
    held.refresh()
    damage(folder, put(folder, "goodbye"))
    held.refresh()
    put(folder)
    assert held.refresh()
    assert (held.value, held.refused) == ("hello", None)


def test_publishing_a_damaged_version_again_heals_it(folder, held):
    damage(folder, put(folder))
    held.refresh()
    assert held.refused is not None
    put(folder)
    assert held.refresh()
    assert (held.value, held.refused) == ("hello", None)


def test_withdrawing_takes_it_out_of_use(folder, held):
    put(folder)
    held.refresh()
    withdraw(folder)
    assert held.refresh()
    assert (held.value, held.version) == (None, None)
    assert not held.refresh()


def test_withdrawing_clears_a_refusal(folder, held):
    damage(folder, put(folder))
    held.refresh()
    withdraw(folder)
    assert held.refresh()
    assert held.refused is None


def test_withdrawing_twice_is_no_error(folder):
    put(folder)
    withdraw(folder)
    withdraw(folder)


def test_what_was_withdrawn_can_be_put_in_force_again(folder, held):
    put(folder)
    held.refresh()
    withdraw(folder)
    held.refresh()
    put(folder)
    held.refresh()
    assert held.value == "hello"


def test_the_manifest_holds_what_the_publisher_says(folder):
    manifest = verified(folder, put(folder, rows=3, trained_on="simulation"), kind=KIND)
    assert manifest.facts == {"rows": 3, "trained_on": "simulation"}
    assert list(manifest.files) == ["text"]


def test_no_staging_folder_is_left_behind(folder):
    put(folder)
    put(folder)
    assert not list((folder / "versions").glob(".staging*"))
