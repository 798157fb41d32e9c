"""What a scorer follows on disk, and what of it is in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from operator import is_
from pathlib import Path
from typing import Any, TypeVar

from app.api.auth import Keys, load_keys
from app.features.directory import Directory, MerchantEntry, load_directory
from app.features.snapshot import Snapshot, load_snapshot
from app.making import InForce
from app.models.artifact import Artifact, load_artifact
from app.money import DEFAULT_RATES, Rates, load_rates
from app.policy import DEFAULT_POLICY, Policy, load_policy
from app.publish import Published
from app.record.archive import Archived, archiving
from app.record.made import Versions
from app.rulebook import load_rules
from app.settings import ScorerSettings
from app.watched import WatchedFile
from app.weights import Weights, load_weights, weights_path
from fallback.rules import RuleSet

__all__ = ["Followed"]

T = TypeVar("T")

HOUR_MS = 3_600_000


class Followed:
    """What is published for a process, and the files that people edit.

    Attributes:
        published: versions by kind.
        files: watched files by name.
        snapshot: of batch features.
        shadow: the model that scores beside the one in force.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        self._settings = settings
        self._versions: Versions | None = None
        self._versions_of: tuple[object, ...] = ()
        self._follow_published()
        self._follow_files()
        self.published: Mapping[str, Published[Any]] = {
            "model": self._model,
            "shadow": self.shadow,
            "snapshot": self.snapshot,
            "merchants": self._directory,
        }
        self.files: Mapping[str, WatchedFile[Any]] = {
            "rules": self._rules,
            "policy": self._policy,
            "rates": self._rates,
            "weights": self._weights,
            "keys": self._keys,
        }

    def _follow_published(self) -> None:
        settings, published = self._settings, self._settings.published
        load_model = partial(
            load_artifact,
            features=settings.feature_set,
            accelerate=settings.accelerator != "none",
        )
        self._model: Published[Artifact] = Published(published / "model", load_model)
        self.shadow: Published[Artifact] = Published(published / "shadow", load_model)
        self.snapshot: Published[Snapshot] = Published(
            published / "snapshot", partial(load_snapshot, features=settings.feature_set)
        )
        self._directory: Published[Directory] = Published(
            published / "merchants", partial(load_directory, trusted=settings.trusted_keys)
        )

    def _follow_files(self) -> None:
        published, home = self._settings.published, self._settings.home
        archive = self._settings.region_folder / "archive"
        lists = ("lists/*.txt",)
        self._rules: WatchedFile[Archived[RuleSet]] = WatchedFile(
            published / "rules" / "rules.yaml",
            archiving(archive / "rules", load_rules, beside=lists),
            beside=lists,
        )
        self._policy: WatchedFile[Archived[Policy]] = _with_default(
            published / "policy.yaml", archiving(archive / "policy", load_policy), DEFAULT_POLICY
        )
        self._rates: WatchedFile[Archived[Rates]] = _with_default(
            published / "rates.yaml", archiving(archive / "rates", load_rates), DEFAULT_RATES
        )
        self._weights: WatchedFile[Weights] = WatchedFile(weights_path(home), load_weights)
        self._keys: WatchedFile[Keys] = WatchedFile(
            home / "keys.json", load_keys, keep_when_gone=True
        )

    def in_force(self) -> InForce:
        """What decisions are made by."""
        return InForce(
            policy=self.policy,
            rates=self.rates,
            rules=self.rules,
            directory=self.directory,
            versions=self.versions,
        )

    def artifact(self) -> Artifact | None:
        """The artifact that may decide: a simulated one only in the development profile."""
        artifact = self._model.value
        if artifact is None:
            return None
        simulated = artifact.facts.provenance == "simulated"
        if simulated and self._settings.profile != "development":
            return None
        return artifact

    def masked(self) -> Collection[str]:
        """What of the counters the model in force can do without."""
        artifact = self.artifact()
        return () if artifact is None else artifact.facts.masked

    def snapshot_age_max_ms(self) -> float:
        """Development serves a snapshot of simulated days, which has no age to speak of."""
        hours = self._settings.snapshot_age_max_h
        if self._settings.profile == "development" or not hours:
            return float("inf")
        return hours * HOUR_MS

    def directory(self) -> Directory | None:
        """The merchant directory, if there is one."""
        return self._directory.value

    def merchant(self, tenant: str, merchant_id: str) -> MerchantEntry | None:
        """The directory's entry of a merchant."""
        directory = self._directory.value
        return None if directory is None else directory.get(tenant, merchant_id)

    def policy(self) -> Policy:
        """The policy: always one, as one ships with the service."""
        assert self._policy.value is not None
        return self._policy.value.value

    def rates(self) -> Rates:
        """The exchange rates: always some, as some ship with the service."""
        assert self._rates.value is not None
        return self._rates.value.value

    def rules(self) -> RuleSet | None:
        """The rules, unless they are withdrawn."""
        return None if self._rules.value is None else self._rules.value.value

    def versions(self) -> Versions:
        """What a decision says it was made by."""
        policy, rates, rules = self._policy.value, self._rates.value, self._rules.value
        assert policy is not None
        assert rates is not None
        held = (policy, rates, rules, self._directory.version)
        if self._versions is not None and all(map(is_, held, self._versions_of)):
            return self._versions  # what is in force changes a few times a day
        recorded = {
            "policy": policy.identity,
            "rates": rates.identity,
            "features": str(self._settings.feature_set.schema),
        }
        if rules is not None:
            recorded["rules"] = rules.identity
        if self._directory.version is not None:
            recorded["directory"] = self._directory.version
        self._versions_of = held
        self._versions = Versions(
            policy=policy.value.version,
            rates=rates.value.version,
            features=self._settings.feature_set,
            recorded=recorded,
        )
        return self._versions

    def weights(self) -> Weights | None:
        """Weights of the regions, for clients."""
        return self._weights.value

    def keys(self) -> Keys:
        """API keys; none until the file is there."""
        return self._keys.value or Keys(())


def _with_default(path: Path, load: Callable[[Path], T], default: Path) -> WatchedFile[T]:
    """A file that may be absent: what ships with the service then holds."""
    watched: WatchedFile[T] = WatchedFile(path, load, keep_when_gone=True)
    watched.value = load(default)
    return watched
