"""What machines and traffic cost: a price file, and dollars a month from counts of what is there.

Nothing in here knows how many machines a traffic needs (`chaos.bench.cost` does), so that an
estimate of any other layout can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from app.errors import OperatorError

__all__ = ["Machine", "Nodes", "Plan", "Prices", "Usage", "load_prices", "monthly_dollars"]

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class RegionPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a region changes.

    Attributes:
        factor: on every price but those of transfer.
        transfer_gb: dollars a GB sent to another region.
    """

    factor: Positive
    transfer_gb: Positive


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One type of host or datastore node.

    Attributes:
        hour: dollars.
        vcpus: virtual cores.
        gib: memory.
    """

    hour: Positive
    vcpus: Count
    gib: Positive


class Units(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars for what is counted otherwise; the names say of what."""

    volume_gb_month: Positive
    stream_shard_hour: Positive
    stream_million_puts: Positive
    object_gb_month: Positive
    object_thousand_puts: Positive
    balancer_hour: Positive
    balancer_unit_hour: Positive
    zone_gb: Positive


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the system is laid out; `terraform/prices.toml` explains each of them."""

    scorer_host: str
    applier_host: str
    zones: Count
    applier_hosts_min: Count
    core_share: Positive
    host_use: Share
    store_use: Share
    store_memory: Share
    stream_use: Share
    home_nodes: Count
    copy_nodes: Count
    mean_load: Share
    id_uses_day: Positive
    claim_s: Positive
    history_bytes: Positive
    record_months: Positive
    segment_mb: Positive
    volume_gb: Positive


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price file.

    Attributes:
        month: that the prices are of, "2026-11".
        month_hours: hours that a month is billed as.
        regions: by name.
        hosts: by type.
        datastores: by type.
        units: all other prices.
        plan: assumptions.
    """

    month: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}$")]
    month_hours: Positive
    regions: dict[str, RegionPrice]
    hosts: dict[str, Machine]
    datastores: Annotated[dict[str, Machine], msgspec.Meta(min_length=1)]
    units: Units
    plan: Plan


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in one region all the time.

    Attributes:
        hosts: number by part of the system and type.
        datastores: number of nodes by type.
        volume_gb: of all hosts together.
        stream_shards: of its stream.
        balancers: load balancers.
    """

    hosts: Mapping[str, tuple[str, int]] = {}
    datastores: Mapping[str, int] = {}
    volume_gb: float = 0.0
    stream_shards: int = 0
    balancers: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one region uses in a month.

    Attributes:
        stream_puts: payload units.
        object_gb: stored, mean of the month.
        object_puts: objects written.
        balancer_gb: through the load balancers, both ways.
        region_gb: sent to other regions.
        zone_gb: sent between zones.
    """

    stream_puts: float = 0.0
    object_gb: float = 0.0
    object_puts: float = 0.0
    balancer_gb: float = 0.0
    region_gb: float = 0.0
    zone_gb: float = 0.0


def load_prices(path: Path) -> Prices:
    """Read a price file.

    Raises:
        OperatorError: it cannot be read, lacks a price, or plans with a host that has none.
    """
    try:
        prices = msgspec.toml.decode(path.read_bytes(), type=Prices)
    except OSError:
        raise OperatorError(f"{path} cannot be read.") from None
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is no price file: {error}.") from None
    for host in (prices.plan.scorer_host, prices.plan.applier_host):
        if host not in prices.hosts:
            raise OperatorError(f"{path} plans with {host}, which has no price there.")
    return prices


def monthly_dollars(
    prices: Prices, region: str, nodes: Nodes, usage: Usage | None = None
) -> dict[str, float]:
    """Dollars a month by part of the bill.

    Args:
        prices: to take.
        region: name.
        nodes: that stand there.
        usage: of the month; none by default.

    Raises:
        OperatorError: there is no price for the region or a type.
    """
    if region not in prices.regions:
        raise OperatorError(f"there are no prices of {region}.")
    used, units, hours = usage or Usage(), prices.units, prices.month_hours
    factor = prices.regions[region].factor
    local = {
        **{
            part: count * hours * _of(prices.hosts, host).hour
            for part, (host, count) in nodes.hosts.items()
        },
        "datastores": sum(
            count * hours * _of(prices.datastores, node).hour
            for node, count in nodes.datastores.items()
        ),
        "volumes": nodes.volume_gb * units.volume_gb_month,
        "stream": nodes.stream_shards * hours * units.stream_shard_hour
        + used.stream_puts / 1e6 * units.stream_million_puts,
        "object storage": used.object_gb * units.object_gb_month
        + used.object_puts / 1e3 * units.object_thousand_puts,
        "load balancers": nodes.balancers * hours * units.balancer_hour
        + used.balancer_gb * units.balancer_unit_hour,
    }
    return {
        **{part: factor * dollars for part, dollars in local.items()},
        "between regions": used.region_gb * prices.regions[region].transfer_gb,
        "between zones": used.zone_gb * units.zone_gb,
    }


def _of(machines: Mapping[str, Machine], kind: str) -> Machine:
    try:
        return machines[kind]
    except KeyError:
        raise OperatorError(f"there is no price of {kind}.") from None
