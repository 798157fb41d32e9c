"""Faults of what is published: a version that must not come into force."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from app.errors import OperatorError
from app.models.artifact import KIND
from app.publish import current, publish
from chaos.engine.ground import Ground

__all__ = ["Replaced", "replaced"]

CURRENT = "current"
MODEL = "full.cbm"
# Of every score: what a wrong model does, in a file that loads without a word.
SCALE = 1.25


class Replaced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By what: a model that is `truncated`, or `another` one that can be read.

    The checksums of the version are right in either case.
    """

    how: Literal["truncated", "another"]


@contextmanager
def replaced(ground: Ground, target: str, options: Replaced) -> Iterator[None]:
    """A bad model is published, in a region's folder of published models.

    Raises:
        OperatorError: nothing is published there.
    """
    folder = ground.home / target
    version = current(folder)
    order = (folder / CURRENT).read_bytes()
    good = folder / "versions" / version
    manifest = msgspec.json.decode((good / "manifest.json").read_bytes())
    if manifest["kind"] != KIND:
        raise OperatorError(f"{folder} has no models, but a {manifest['kind']}.")
    files = {name: (good / name).read_bytes() for name in manifest["files"]}
    files[MODEL] = _spoilt(good / MODEL, options)
    bad = publish(folder, kind=KIND, files=files, facts=manifest["facts"])
    try:
        yield
    finally:
        fresh = folder / f"{CURRENT}.drill"
        fresh.write_bytes(order)
        fresh.rename(folder / CURRENT)
        shutil.rmtree(folder / "versions" / bad)


def _spoilt(path: Path, options: Replaced) -> bytes:
    content = path.read_bytes()
    if options.how == "truncated":
        return content[: len(content) // 2]
    # Half a second to import, for this one fault.
    from catboost import CatBoost  # noqa: PLC0415

    model = CatBoost().load_model(blob=content)
    model.set_scale_and_bias(SCALE, 0.0)
    beside = path.parents[2] / f"{MODEL}.drill"
    try:
        model.save_model(str(beside))
        return beside.read_bytes()
    finally:
        beside.unlink(missing_ok=True)
