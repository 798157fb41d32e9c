"""The merchant directory: what is known of a merchant, memory mapped, signed, read only.

It says how strictly a merchant is treated, so a directory counts only with the signature of a
key that the operator pinned, and never goes back to an older number unless told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import msgspec

from app.features.mapped_file import MappedFile, publish_rows, row_key
from app.features.spec import Entity
from app.policy import Overrides
from app.publish import PublicationError
from app.record.signing import Signer

__all__ = ["Directory", "MerchantEntry", "load_directory", "publish_directory"]

KIND = "merchants"
# Entries that are kept decoded, about 1 KB each.
KNOWN_MAX = 16_384


class MerchantEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the directory knows of a merchant; the caller's word on it is never asked.

    Attributes:
        tier: of the policy.
        category: merchant category.
        country: two letters.
        thresholds: the merchant's own, in place of the tier's; None for the tier's.
        lists: names of the lists that it is on, such as "hot", "allow", "block".
        exemptions: from strong authentication, such as "tra", "low_value".
    """

    tier: str
    category: str
    country: str
    thresholds: Overrides | None = None
    lists: tuple[str, ...] = ()
    exemptions: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> Self:
        """The entry that `as_recorded` wrote."""
        thresholds = recorded.get("thresholds")
        return cls(
            tier=recorded["tier"],
            category=recorded["category"],
            country=recorded["country"],
            thresholds=None if thresholds is None else Overrides(**thresholds),
            lists=tuple(recorded.get("lists", ())),
            exemptions=tuple(recorded.get("exemptions", ())),
        )

    def as_recorded(self) -> dict[str, Any]:
        """The entry as decision records keep it: what is not set is left out."""
        recorded: dict[str, Any] = {
            "tier": self.tier,
            "category": self.category,
            "country": self.country,
        }
        if self.thresholds is not None:
            recorded["thresholds"] = msgspec.to_builtins(self.thresholds)
        for name in ("lists", "exemptions"):
            if value := getattr(self, name):
                recorded[name] = list(value)
        return recorded

    def listed(self, name: str) -> bool:
        """Whether the merchant is on a list."""
        return name in self.lists

    def exempt(self, name: str) -> bool:
        """Whether the merchant has an exemption."""
        return name in self.exemptions


class DirectoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory says of itself.

    Attributes:
        merchants: how many are listed.
    """

    merchants: int


class Directory:
    """The merchant directory in use; any number of threads may read it."""

    def __init__(self, mapped: MappedFile) -> None:
        decode = msgspec.msgpack.Decoder(MerchantEntry).decode
        # Merchants come again and again.
        self._look_up = lru_cache(maxsize=KNOWN_MAX)(partial(_look_up, mapped, decode))
        self.version = mapped.version
        self.number = mapped.manifest.number
        self.facts = msgspec.convert(mapped.manifest.facts, DirectoryFacts)

    def get(self, tenant: str, merchant_id: str) -> MerchantEntry | None:
        """A merchant's entry; None for one that is not listed."""
        return self._look_up(tenant, merchant_id)


def _look_up(
    mapped: MappedFile,
    decode: Callable[[bytes], MerchantEntry],
    tenant: str,
    merchant_id: str,
) -> MerchantEntry | None:
    (raw,) = mapped.get((row_key(tenant, Entity.MERCHANT, merchant_id),))
    return None if raw is None else decode(raw)


def load_directory(folder: Path, version: str, *, trusted: Path) -> Directory:
    """Load a published merchant directory, prewarmed.

    Args:
        folder: where directories are published.
        version: to load.
        trusted: folder of the public keys that may sign it (`app.record.signing.Keyring`); keep
            it where those who deliver directories cannot write.

    Raises:
        PublicationError: it is damaged, of another release, or not signed by a trusted key.
    """
    try:
        return Directory(MappedFile(folder, version, kind=KIND, trusted=trusted))
    except msgspec.ValidationError as error:
        raise PublicationError(f"{KIND} {version} is of another release: {error}.") from None


def publish_directory(
    folder: Path,
    *,
    tenant: str,
    merchants: Iterable[tuple[str, MerchantEntry]],
    number: int,
    signer: Signer,
) -> str:
    """Build, sign and publish a merchant directory.

    Args:
        folder: where directories are published.
        tenant: whose merchants.
        merchants: (id, entry), in any order.
        number: grows with each directory; the time of its making, ms since the epoch, will do.
        signer: the publisher's key.

    Returns:
        The version's name.

    Raises:
        PublicationError: a merchant comes twice, or the directory is older than the one in force.
    """
    encoder = msgspec.msgpack.Encoder()
    rows = sorted(
        (row_key(tenant, Entity.MERCHANT, id), encoder.encode(entry)) for id, entry in merchants
    )
    facts = msgspec.to_builtins(DirectoryFacts(merchants=len(rows)))
    return publish_rows(folder, kind=KIND, rows=rows, facts=facts, number=number, signer=signer)
