"""Published versions: swapped whole, refused when damaged, withdrawn by deleting one file."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.publish import (
    CURRENT,
    PublicationError,
    Published,
    adopt,
    current,
    prune,
    publish,
    roll_back,
    verified,
    withdraw,
)
from app.record.signing import FileSigner, Keyring

KIND = "greeting"


def put(folder, text="hello", *, number=0, signer=None, **facts):
    files = {"text": text.encode()}
    return publish(folder, kind=KIND, files=files, facts=facts, number=number, signer=signer)


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


def test_publishing_over_a_current_that_cannot_be_read_heals_it(folder, held):
    (folder / "versions").mkdir(parents=True)
    (folder / CURRENT).write_bytes(b"\xff\xfe")
    put(folder)
    held.refresh()
    assert held.value == "hello"


def test_an_older_version_is_kept_but_not_put_in_force(folder, held):
    newer = put(folder, "new", number=2)
    with pytest.raises(PublicationError, match=r"\(number 1\) is older than .* \(number 2\)"):
        put(folder, "old", number=1)
    held.refresh()
    assert held.value == "new"
    (older,) = {path.name for path in (folder / "versions").iterdir()} - {newer}
    roll_back(folder, older)
    held.refresh()
    assert (held.value, held.refused) == ("old", None)


def test_versions_of_the_same_number_follow_each_other(folder, held):
    put(folder, "one", number=2)
    held.refresh()
    put(folder, "other", number=2)
    held.refresh()
    assert (held.value, held.refused) == ("other", None)


def test_a_reader_that_holds_a_newer_version_refuses_an_older_one_that_is_no_rollback(folder, held):
    older = put(folder, "old", number=1)
    newer = put(folder, "new", number=2)
    held.refresh()
    (folder / CURRENT).write_text(older)
    held.refresh()
    assert held.value == "new"
    assert held.refused == (
        f"{KIND} {older} (number 1) is older than {newer} (number 2), which is in force; "
        "going back takes a rollback."
    )


def test_a_reader_that_holds_nothing_takes_what_is_in_force(folder, held):
    older = put(folder, "old", number=1)
    put(folder, "new", number=2)
    held.refresh()
    withdraw(folder)
    held.refresh()
    (folder / CURRENT).write_text(older)
    held.refresh()
    assert held.value == "old"


def test_rolling_back_to_a_version_that_is_not_there_changes_nothing(folder):
    version = put(folder)
    with pytest.raises(PublicationError, match="feedfeedfeed cannot be read"):
        roll_back(folder, "feedfeedfeed")
    assert current(folder) == version


def test_a_rollback_is_adopted_as_one_and_an_older_version_is_not(folder, tmp_path):
    target = tmp_path / "region"
    older = put(folder, "old", number=1)
    put(folder, "new", number=2)
    adopt(folder, target)
    (folder / CURRENT).write_text(older)
    with pytest.raises(PublicationError, match="going back takes a rollback"):
        adopt(folder, target)
    roll_back(folder, older)
    adopt(folder, target)
    held = Published(target, load)
    held.refresh()
    assert held.value == "old"


def test_a_signature_goes_along_when_a_version_is_adopted(folder, tmp_path):
    signer, trusted = FileSigner(Ed25519PrivateKey.generate()), tmp_path / "trusted"
    Keyring(trusted).add(signer.public_key)
    put(folder, signer=signer)
    version = adopt(folder, tmp_path / "region")
    assert verified(tmp_path / "region", version, kind=KIND, trusted=trusted).kind == KIND


def test_what_was_published_unsigned_can_be_signed_later(folder, tmp_path):
    signer, trusted = FileSigner(Ed25519PrivateKey.generate()), tmp_path / "trusted"
    Keyring(trusted).add(signer.public_key)
    version = put(folder)
    with pytest.raises(PublicationError, match=f"{KIND} {version} is not signed"):
        verified(folder, version, kind=KIND, trusted=trusted)
    assert put(folder, signer=signer) == version
    verified(folder, version, kind=KIND, trusted=trusted)


def test_old_versions_go_and_the_one_in_force_stays(tmp_path):
    versions = [publish(tmp_path, kind="k", files={"f": bytes([at])}, facts={}) for at in range(6)]
    roll_back(tmp_path, versions[0])
    gone = prune(tmp_path, keep=2)
    assert sorted(gone) == sorted(versions[1:4])
    kept = {path.name for path in (tmp_path / "versions").iterdir()}
    assert kept == {versions[0], *versions[4:]}
    assert current(tmp_path) == versions[0]


def test_a_version_named_on_purpose_is_adopted_although_it_is_older(folder, tmp_path):
    old, new = put(folder, "old", number=1), put(folder, "new", number=2)
    target = tmp_path / "shadow"
    held = Published(target, load)
    for version in (new, old):
        assert adopt(folder, target, version) == version
        held.refresh()
        assert (held.version, held.refused) == (version, None)


def test_a_version_that_is_not_there_is_not_adopted(folder, tmp_path):
    put(folder)
    with pytest.raises(PublicationError, match="0123456789ab"):
        adopt(folder, tmp_path / "shadow", "0123456789ab")
    assert not (tmp_path / "shadow").exists()
