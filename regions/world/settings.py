"""The settings of the local world: `stepdown.toml`, then `STEPDOWN_*` variables."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import msgspec

from regions.world.errors import SettingsError

__all__ = ["SETTINGS_FILE", "WorldSettings", "load_settings"]

SETTINGS_FILE = "stepdown.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """What the local world is made of.

    Attributes:
        home: folder of all state and logs; default `.stepdown` in the current folder.
        port_base: first port of the region with number 0, 1024 to 65400; each further region has
            the next hundred.
        workers: scorer processes a region, 1 to 64.
        regions: the regions to run, at least one.
        network: `proxies` gives the links between regions the latencies of the topology, where
            Toxiproxy is installed; `direct` never does.
        proxied: `all` puts proxies before each region's own datastores and stream, too, so that
            drills can cut a region off from them; they add no latency of the topology.
        host: address that the API listens on; the datastores always listen on 127.0.0.1.
        features: feature set of the models and counters; each has models and stores of its own.
        allow_remote: `host` may be one that other machines reach. The embedded world has
            development credentials, so this has to be said.
    """

    home: Path = Path(".stepdown")
    port_base: int = 18_000
    workers: int = 2
    regions: tuple[str, ...] = ("us-east-1", "eu-west-1", "ap-southeast-1")
    network: Literal["proxies", "direct"] = "proxies"
    proxied: Literal["regions", "all"] = "regions"
    host: str = "127.0.0.1"
    features: Literal["reference", "wide"] = "reference"
    allow_remote: bool = False

    def __post_init__(self) -> None:
        if not 1_024 <= self.port_base <= 65_400:
            raise ValueError(f"port_base must be between 1024 and 65400, not {self.port_base}")
        if not 1 <= self.workers <= 64:
            raise ValueError(f"workers must be between 1 and 64, not {self.workers}")
        if not self.regions or len(set(self.regions)) != len(self.regions):
            raise ValueError("regions must name at least one region, and none twice")
        try:
            loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError(f"host must be an IP address, not {self.host!r}") from None
        if not loopback and not self.allow_remote:
            raise ValueError(
                f"host {self.host} can be reached from other machines;"
                " set STEPDOWN_ALLOW_REMOTE=1 if that is meant"
            )

    @property
    def connect_host(self) -> str:
        """The address at which this machine reaches the API."""
        address = ipaddress.ip_address(self.host)
        if not address.is_unspecified:
            return self.host
        return "127.0.0.1" if address.version == 4 else "::1"


def load_settings(
    *, environ: Mapping[str, str], folder: Path, home: Path | None = None
) -> WorldSettings:
    """Put the settings together; the later source wins.

    Args:
        environ: environment variables; `STEPDOWN_<NAME>`, lists separated by commas.
        folder: where `stepdown.toml` (table `[world]`) may lie, and what a relative home is
            relative to.
        home: from the command line, above all others.

    Raises:
        SettingsError: a value that cannot be, or a name that is not known.
    """
    raw = _from_file(folder / SETTINGS_FILE) | _from_environment(environ)
    if home is not None:
        raw["home"] = str(home)
    raw["home"] = str((folder / str(raw.get("home", ".stepdown"))).absolute())
    try:
        return msgspec.convert(raw, WorldSettings, strict=False, dec_hook=_to_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"the settings cannot be used: {error}") from error


def _names() -> list[str]:
    return [field.name for field in fields(WorldSettings)]


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("world", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: world must be a table")
    unknown = sorted(table.keys() - set(_names()))
    if unknown:
        raise SettingsError(f"{path}: [world] has no setting {unknown[0]!r}")
    return table


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for name in _names():
        value = environ.get(f"STEPDOWN_{name.upper()}")
        if value:
            raw[name] = value
    if "regions" in raw:
        raw["regions"] = [part.strip() for part in raw["regions"].split(",") if part.strip()]
    return raw


def _to_path(kind: type[Any], value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no settings are of type {kind}")
