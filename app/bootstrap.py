"""The first start: a key, a simulated history, models, snapshot, directory, rules.

What is there already is left alone, so it can be run again at any time, also after it was cut.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from app.api.auth import Scope, add_key
from app.features.spec import FeatureSet
from app.publish import CURRENT, adopt
from app.record.token import token_secret
from app.registry import DEMO_TENANT, KINDS, Registry
from app.rulebook import DEFAULT_RULES

__all__ = ["ensure_published"]


def ensure_published(
    home: Path, region: str, features: FeatureSet, report: Callable[[float, str], None]
) -> None:
    """Have everything that a region's processes load.

    Args:
        home: folder of all local state.
        region: to publish in.
        features: what the models see.
        report: told the share done, 0 to 1, and what is being done.

    Raises:
        OperatorError: what is there cannot be used.
    """
    registry = Registry(home)
    _ensure_keys(registry)
    if not registry.complete:
        # Only a first start needs the training libraries, which take a second to import.
        from app.models.training.release import first_release  # noqa: PLC0415

        first_release(registry, features, report)
    published = home / region / "published"
    for kind in KINDS:
        if not (published / kind / CURRENT).exists():
            adopt(registry.folder / kind, published / kind)
    rules = published / "rules"
    if not (rules / "rules.yaml").exists():
        (rules / "lists").mkdir(parents=True, exist_ok=True)
        shutil.copy(registry.hot_merchants, rules / "lists" / "hot_merchants.txt")
        shutil.copy(DEFAULT_RULES, rules / "rules.yaml")
    report(1.0, "published")


def _ensure_keys(registry: Registry) -> None:
    """A development key with every scope, and the secret that signs decision tokens."""
    registry.home.mkdir(parents=True, exist_ok=True)
    token_secret(registry.home / "secrets" / "token")
    if not registry.dev_key.exists():
        key = add_key(registry.home / "keys.json", tenant=DEMO_TENANT, scopes=tuple(Scope))
        registry.dev_key.touch(mode=0o600)
        registry.dev_key.write_text(key + "\n", encoding="ascii")
