"""The settings of a scorer and its data plane: the only place that reads the environment.

`stepdown.toml` in the current folder, or the file that `STEPDOWN_CONFIG` names (table `[scorer]`),
then `STEPDOWN_*` variables, which win.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.errors import OperatorError
from app.features.sets import feature_set
from app.features.spec import FeatureSet
from app.ids import HOSTS_MAX
from app.models.accelerator import available as accelerator_available
from app.tracing import available as tracing_available

__all__ = [
    "ConfigurationError",
    "KinesisAddress",
    "S3Address",
    "ScorerSettings",
    "Shard",
    "SourceAddress",
    "load",
]

PREFIX = "STEPDOWN_"
Port = Annotated[int, Meta(ge=1, le=65_535)]


class ConfigurationError(OperatorError):
    """A setting is wrong; the process must not start. One sentence that names it."""


class Shard(msgspec.Struct, frozen=True):
    """Address of one shard's server; `tls` where it is reached over TLS, its name verified."""

    host: str
    port: int
    tls: bool = False


class KinesisAddress(msgspec.Struct, frozen=True):
    """A Kinesis data stream of the region's AWS region."""

    stream: str


class S3Address(msgspec.Struct, frozen=True):
    """A bucket, and what its keys start with, closing slash included; may be empty."""

    bucket: str
    prefix: str


class SourceAddress(msgspec.Struct, frozen=True):
    """One home region's datastore, as this region reads it."""

    region: str
    shards: tuple[Shard, ...]


class ScorerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a scorer, an applier and the operations listener need to know.

    Attributes:
        home: folder of all local state.
        region: region served; its number comes from the topology.
        profile: outside `development`, a model trained on simulated data never decides.
        api_host: address the scorers listen on.
        api_port: port of the API.
        api_tls: whether the API speaks TLS with a certificate that the host makes for itself: for a
            balancer, which encrypts on the way here and verifies nobody.
        operations_port: port of metrics and operations.
        workers: scorer processes.
        host_file: file with this host's number in its region, 0 to 254, which its journals' writers
            are numbered by; empty for 0, where a region has one host. Two hosts of a region under
            one number would write events of the same identity, of which one is dropped.
        fleet_hosts: hosts with scorers in all regions together: each has an equal share of what
            the lower rungs may approve. With fewer than there are, the fleet exceeds its budget.
        features: name of the feature set that is counted and that the models see.
        endpoints: `region=URL`, comma separated: where clients reach each region; empty for this
            region alone, at its own API's address.
        sources: `region=host:port[|host:port...]`, comma separated: one store per home region.
        store: `host:port[|host:port...]` of this region's own store, written by the applier.
        datastore_tls: whether the datastores are reached over TLS, as ElastiCache's with a password
            are; their names are verified by the system's authorities.
        datastore_password_file: file with the datastores' password; empty for none.
        deadline_target_ms: what a decision should take at most.
        deadline_hard_ms: what a decision must take at most.
        gather_ms: longest wait of a request for a batch that is under way to end, so that it begins
            with all that came meanwhile; 0 for none. See `app/gathering.py`.
        source_timeout_ms: longest wait for one source.
        counters_age_max_ms: counters older than this are stale: the ladder steps down.
        snapshot_age_max_h: a snapshot older than this is stale; 0 for no bound. No bound in the
            development profile, whose snapshot is of simulated days.
        attempt_ttl_s: how long a repeated attempt gets the same answer; about 1 KB an attempt in
            the datastore.
        follow_up_ttl_s: how long a repeated outcome or label is known as one; about 200 bytes each.
        stream: the region's events: `host:port` of a Valkey server, or `kinesis:<name>`.
        follow: what joiner and historian follow: the `journals` on their host, or the region's
            `stream`, which has those of all its hosts.
        stream_runs_kept: of each journal writer; a run has 1 to 128 events. Valkey only.
        shipper_linger_ms: how long the shipper gathers events before it publishes.
        object_storage: where sealed journal segments go: a folder, or `s3://bucket[/prefix]`;
            empty for `object-storage` in the region's folder.
        anchors: where the heads of the journals' chains go every second, away from the journals: a
            folder, or `s3://bucket[/prefix]`; empty for `anchors` in the home folder.
        object_lock: how S3 keeps them from being deleted; the bucket needs Object Lock. Nobody
            can shorten `compliance`, whoever may bypass it can `governance`.
        object_lock_days: for how long.
        aws_endpoint: another address than AWS's own; empty for none.
        linger_ms: how long the applier gathers events before it writes.
        fsync_ms: how long an appended record may wait for its fsync.
        journal_segment_bytes: size from which a journal segment is closed.
        journal_bytes_max: the journals' share of the disk, for the whole region; beyond it shipped
            segments go, oldest first, and without any that may go records are refused.
        journal_ring_folder: in shared memory, where what was appended waits for its file, so that
            no answer waits for a disk; in a folder of its own for each user. It has to be the same
            for all programs that open the region's journals. Empty for none: files are written at
            once.
        journal_ring_bytes: of each scorer's ring; what a disk that stands still may leave waiting.
        poll_s: how often published files are looked at.
        accelerator: what evaluates models in CatBoost's place while it gives the same bits; needs
            the extra `accelerator`.
        otlp_endpoint: where spans of decisions go, `http://host:4318/v1/traces`; empty for nowhere.
            Needs the extra `tracing`.
        trace_share: of decisions that are traced.
        background_share: of answers that the lower rungs, and a shadow model, assess afterwards.
        replay: event time stands for now, as played by `stepdown play`; in development only.
        weakened: what is taken out of the scorer so that drills can be seen to fail: breakers that
            never open, or every rung below the full one; in development only.
    """

    home: Path = Path(".stepdown")
    region: str = "us-east-1"
    profile: Literal["development", "staging", "production"] = "development"
    api_host: str = "127.0.0.1"
    api_port: Port = 18_000
    api_tls: bool = False
    operations_port: Port = 18_001
    workers: Annotated[int, Meta(ge=1, le=250)] = 2
    host_file: str = ""
    fleet_hosts: Annotated[int, Meta(ge=1, le=100_000)] = 1
    features: Literal["reference", "wide"] = "reference"
    endpoints: str = ""
    sources: str = "us-east-1=127.0.0.1:18010"
    store: str = "127.0.0.1:18010"
    datastore_tls: bool = False
    datastore_password_file: str = ""
    deadline_target_ms: Annotated[int, Meta(ge=20, le=1_000)] = 80
    deadline_hard_ms: Annotated[int, Meta(ge=20, le=1_000)] = 100
    gather_ms: Annotated[float, Meta(ge=0, le=20)] = 4.0
    source_timeout_ms: Annotated[int, Meta(ge=1, le=500)] = 25
    counters_age_max_ms: Annotated[int, Meta(ge=100)] = 30_000
    snapshot_age_max_h: Annotated[float, Meta(ge=0)] = 36.0
    attempt_ttl_s: Annotated[int, Meta(ge=1, le=86_400)] = 900
    follow_up_ttl_s: Annotated[int, Meta(ge=1)] = 7 * 86_400
    stream: str = "127.0.0.1:18013"
    follow: Literal["journals", "stream"] = "journals"
    stream_runs_kept: Annotated[int, Meta(ge=100, le=10_000_000)] = 20_000
    shipper_linger_ms: Annotated[int, Meta(ge=1, le=1_000)] = 20
    object_storage: str = ""
    anchors: str = ""
    object_lock: Literal["none", "governance", "compliance"] = "governance"
    object_lock_days: Annotated[int, Meta(ge=1, le=36_500)] = 365
    aws_endpoint: str = ""
    linger_ms: Annotated[int, Meta(ge=0, le=1_000)] = 15
    fsync_ms: Annotated[int, Meta(ge=0, le=1_000)] = 10
    journal_segment_bytes: Annotated[int, Meta(ge=4_096)] = 16 * 2**20
    journal_bytes_max: Annotated[int, Meta(ge=2**20)] = 4 * 2**30
    journal_ring_folder: str = "/dev/shm"  # noqa: S108 - rings lie in a folder of the user's own
    journal_ring_bytes: Annotated[int, Meta(ge=2 * 2**20, le=2**30)] = 8 * 2**20
    poll_s: Annotated[float, Meta(gt=0, le=60)] = 0.5
    accelerator: Literal["none", "lignum"] = "none"
    otlp_endpoint: str = ""
    trace_share: Annotated[float, Meta(ge=0, le=1)] = 0.01
    background_share: Annotated[float, Meta(ge=0, le=1)] = 0.01
    replay: bool = False
    weakened: Literal["nothing", "breakers", "lower-rungs"] = "nothing"

    @property
    def feature_set(self) -> FeatureSet:
        """What is counted and seen."""
        return feature_set(self.features)

    @property
    def region_folder(self) -> Path:
        """Folder of this region's state."""
        return self.home / self.region

    @property
    def trusted_keys(self) -> Path:
        """Public keys that may sign merchant directories; not where directories are delivered."""
        return self.home / "trusted-keys"

    @property
    def sources_file(self) -> Path:
        """What `sources` of this region is where it runs on this machine, for the command line."""
        return self.region_folder / "sources"

    @property
    def published(self) -> Path:
        """Folder of what this region's scorers load."""
        return self.region_folder / "published"

    @property
    def journal(self) -> Path:
        """Folder of this region's journals, one folder a writer."""
        return self.region_folder / "journal"

    @property
    def stand_in(self) -> Path:
        """What this host's lower rungs have approved."""
        return self.region_folder / "stand-in.ledger"

    @property
    def shipper(self) -> Path:
        """Folder of what the shipper keeps."""
        return self.region_folder / "shipper"

    def stream_address(self) -> Shard | KinesisAddress:
        """Where the region's stream is."""
        scheme, _, name = self.stream.partition(":")
        if scheme == "kinesis":
            if not name:
                raise ConfigurationError("stream: kinesis:<name> has no name.")
            return KinesisAddress(name)
        return _shard(self.stream, "stream", tls=self.datastore_tls)

    def object_storage_address(self) -> Path | S3Address:
        """Where sealed journal segments go."""
        if not self.object_storage:
            return self.region_folder / "object-storage"
        return _folder_or_s3(self.object_storage, "object_storage")

    def anchors_address(self) -> Path | S3Address:
        """Where the heads of the journals' chains go."""
        if not self.anchors:
            return self.home / "anchors" / self.region
        return _folder_or_s3(self.anchors, "anchors")

    def endpoint_addresses(self) -> dict[str, str]:
        """Where clients reach each region, in the order as written."""
        if not self.endpoints:
            host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
            return {self.region: f"http://{host}:{self.api_port}"}
        found: dict[str, str] = {}
        for part in self.endpoints.split(","):
            region, _, url = part.strip().partition("=")
            if not region or region in found or not url.startswith(("http://", "https://")):
                raise ConfigurationError(f"endpoints: {part!r} is not region=URL, or comes twice.")
            found[region] = url.rstrip("/")
        return found

    def source_addresses(self) -> tuple[SourceAddress, ...]:
        """The stores to read, this region's own first as written."""
        found: dict[str, SourceAddress] = {}
        for part in self.sources.split(","):
            region, _, shards = part.strip().partition("=")
            if not region or region in found:
                raise ConfigurationError(f"sources: {part!r} names no region, or one named before.")
            found[region] = SourceAddress(region, self._shards(shards, "sources"))
        return tuple(found.values())

    def store_shards(self) -> tuple[Shard, ...]:
        """The shards of this region's own store."""
        return self._shards(self.store, "store")

    def _shards(self, text: str, setting: str) -> tuple[Shard, ...]:
        return tuple(_shard(part, setting, tls=self.datastore_tls) for part in text.split("|"))

    def host_number(self) -> int:
        """This host's number in its region, from its file."""
        if not self.host_file:
            return 0
        try:
            text = Path(self.host_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"host_file cannot be read: {error}.") from None
        if not (text.isascii() and text.isdecimal()) or int(text) >= HOSTS_MAX:
            raise ConfigurationError(f"host_file: {text!r} is not a number from 0 to 254.")
        return int(text)

    def datastore_password(self) -> str | None:
        """The datastores' password, from its file."""
        if not self.datastore_password_file:
            return None
        try:
            return Path(self.datastore_password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"datastore_password_file cannot be read: {error}.") from None


def load(environ: Mapping[str, str] | None = None) -> ScorerSettings:
    """Read the settings.

    Args:
        environ: variables to read; the process's own by default.

    Raises:
        ConfigurationError: a setting is unknown, of the wrong type or out of range.
    """
    variables = os.environ if environ is None else environ
    values = _from_file(Path(variables.get(PREFIX + "CONFIG", "stepdown.toml")))
    for name in ScorerSettings.__struct_fields__:
        if (text := variables.get(PREFIX + name.upper())) is not None:
            values[name] = text
    try:
        settings = msgspec.convert(values, ScorerSettings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"A setting of the scorer is wrong: {error}.") from None
    settings.source_addresses()
    settings.store_shards()
    settings.stream_address()
    settings.object_storage_address()
    settings.anchors_address()
    if settings.deadline_target_ms > settings.deadline_hard_ms:
        raise ConfigurationError("deadline_target_ms must not exceed deadline_hard_ms.")
    if settings.accelerator != "none" and not accelerator_available():
        raise ConfigurationError(
            f"accelerator: {settings.accelerator} is not installed; install stepdown[accelerator]."
        )
    if settings.otlp_endpoint and not tracing_available():
        raise ConfigurationError(
            "otlp_endpoint: OpenTelemetry is not installed; install stepdown[tracing]."
        )
    if settings.replay and settings.profile != "development":
        raise ConfigurationError(
            f"replay lets callers say what time it is; {settings.profile} cannot be played."
        )
    if settings.weakened != "nothing" and settings.profile != "development":
        raise ConfigurationError(
            f"weakened is for drills that have to fail; {settings.profile} cannot be weakened."
        )
    return settings


def _folder_or_s3(text: str, setting: str) -> Path | S3Address:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ConfigurationError(f"{setting}: {text!r} is neither a folder nor s3://bucket.")
    return S3Address(bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file).get("scorer", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: scorer is a table, [scorer], not a value.")
    return table


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


def _shard(text: str, setting: str, *, tls: bool) -> Shard:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ConfigurationError(f"{setting}: {text!r} is not host:port.")
    return Shard(host, int(port), tls)
