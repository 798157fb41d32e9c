"""A scorer uses only a model that loads as it was trained, and keeps the last good one."""

import shutil

import msgspec
import pytest

from app.models.artifact import ARTIFACT, GOLDEN, load_artifact
from app.publish import Manifest, PublicationError, Published, current, publish


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained / "registry" / "model", tmp_path / "model")
    return tmp_path / "model"


def files_of(folder):
    version = folder / "versions" / current(folder)
    names = ("full.cbm", "batch.cbm", ARTIFACT, GOLDEN)
    return {name: (version / name).read_bytes() for name in names}


def republished(folder, files):
    """A version whose checksums are right, whatever it holds."""
    return publish(folder, kind="model", files=files, facts={"provenance": "simulated"})


def test_what_training_published_loads_and_says_that_it_is_simulated(folder):
    artifact = load_artifact(folder, current(folder))
    assert artifact.facts.provenance == "simulated"
    assert set(artifact.facts.rungs) == {"full", "batch"}
    assert set(artifact.facts.rungs["batch"].numbers) < set(artifact.facts.rungs["full"].numbers)


@pytest.mark.parametrize("name", ["full.cbm", "batch.cbm", ARTIFACT, GOLDEN])
def test_one_flipped_byte_is_found(folder, name):
    path = folder / "versions" / current(folder) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PublicationError, match=name):
        load_artifact(folder, current(folder))


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_truncated_model_with_right_checksums_is_refused(folder, cut):
    files = files_of(folder)
    files["full.cbm"] = files["full.cbm"][:cut]
    with pytest.raises(PublicationError, match="not a usable model"):
        load_artifact(folder, republished(folder, files))


def test_a_valid_model_that_is_not_the_one_trained_fails_its_golden_rows(folder):
    files = files_of(folder)
    golden = msgspec.msgpack.decode(files[GOLDEN])
    golden["full"]["raw"][3] += 0.01
    files[GOLDEN] = msgspec.msgpack.encode(golden)
    with pytest.raises(PublicationError, match=r"scores its golden rows differently, by 0\.01"):
        load_artifact(folder, republished(folder, files))


def test_a_model_of_another_feature_schema_is_refused(folder):
    files = files_of(folder)
    facts = msgspec.json.decode(files[ARTIFACT])
    facts["feature_schema"] += 1
    files[ARTIFACT] = msgspec.json.encode(facts)
    with pytest.raises(PublicationError, match="schema"):
        load_artifact(folder, republished(folder, files))


def test_a_model_with_other_inputs_is_refused(folder):
    files = files_of(folder)
    facts = msgspec.json.decode(files[ARTIFACT])
    facts["rungs"]["batch"]["numbers"].reverse()
    files[ARTIFACT] = msgspec.json.encode(facts)
    with pytest.raises(PublicationError, match="other inputs"):
        load_artifact(folder, republished(folder, files))


def test_the_last_good_model_goes_on_when_a_new_one_is_refused(folder):
    held = Published(folder, load_artifact)
    held.refresh()
    good = held.value
    files = files_of(folder)
    files["full.cbm"] = b"not a model"
    republished(folder, files)
    held.refresh()
    assert held.value is good
    assert "not a usable model" in held.refused


def test_the_manifest_names_every_file(folder):
    version = folder / "versions" / current(folder)
    manifest = msgspec.json.decode((version / "manifest.json").read_bytes(), type=Manifest)
    on_disk = {path.name for path in version.iterdir()} - {"manifest.json"}
    assert set(manifest.files) == on_disk
