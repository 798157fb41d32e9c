"""What a region's plan costs a month: machines from Terraform's output, prices from the price file.

Only what stands all the time: no traffic, storage or transfer, which `stepdown bench cost` has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from app.errors import OperatorError
from chaos.bench.prices import Nodes, Prices, monthly_dollars

__all__ = ["Estimate", "RegionNodes", "estimate_of", "load_nodes"]

Count = Annotated[int, msgspec.Meta(ge=0)]


class HostCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hosts of one part.

    Attributes:
        type: of the machine.
        count: how many, at least.
    """

    type: str
    count: Count


class RegionNodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The output `nodes` of `terraform/region`, which describes its fields."""

    hosts: dict[str, HostCount]
    datastores: dict[str, Count]
    volume_gb: Annotated[float, msgspec.Meta(ge=0)]
    stream_shards: Count
    balancers: Count


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars a month.

    Attributes:
        region: name.
        month: that the prices are of.
        dollars: by part, those that cost nothing left out.
        total: of them.
    """

    region: str
    month: str
    dollars: Mapping[str, float]
    total: float


def load_nodes(path: Path) -> RegionNodes:
    """Read what `terraform output -json nodes` printed.

    Raises:
        OperatorError: it cannot be read, or is something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=RegionNodes)
    except OSError:
        raise OperatorError(f"{path} cannot be read.") from None
    except msgspec.DecodeError as error:
        raise OperatorError(
            f"{path} is not what 'terraform output -json nodes' prints: {error}."
        ) from None


def estimate_of(nodes: RegionNodes, *, copies: int, region: str, prices: Prices) -> Estimate:
    """What the nodes of a region cost.

    Args:
        nodes: that stand there.
        copies: datastore nodes of other regions' copies, of this region's own type.
        region: name.
        prices: to take.

    Raises:
        OperatorError: there is no price for the region or a type, or copies of no type.
    """
    if copies and len(nodes.datastores) != 1:
        raise OperatorError("copies are of the region's own type, and there is not one such type.")
    stores = {kind: count + copies for kind, count in nodes.datastores.items()}
    dollars = monthly_dollars(
        prices,
        region,
        Nodes(
            hosts={part: (one.type, one.count) for part, one in nodes.hosts.items()},
            datastores=stores,
            volume_gb=nodes.volume_gb,
            stream_shards=nodes.stream_shards,
            balancers=nodes.balancers,
        ),
    )
    parts = {part: amount for part, amount in dollars.items() if amount}
    return Estimate(region=region, month=prices.month, dollars=parts, total=sum(parts.values()))
