"""How many machines a traffic needs, and what they cost a month.

Every region is to carry its share of the whole rate when one region is lost:

    rate of a region = rate / (regions - 1)
    cores            = rate of a region x CPU of a decision
    vCPUs            = cores / (share of a core that a vCPU is x share that may be in use)

Regions stand for the rate that was planned for; what is billed by use is of the mean load, which
the regions share evenly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from app.errors import OperatorError
from app.streams.envelope import RUN_BYTES_MAX
from chaos.bench.cost_store import SHARDS_MAX, Store, store_of
from chaos.bench.measured import Measured
from chaos.bench.prices import Nodes, Prices, Usage, monthly_dollars
from regions.topology import Topology

__all__ = [
    "RATES",
    "Cost",
    "cost_of",
    "costs_of",
    "fewer_ids",
    "sources_of",
]

RATES = (28_000, 45_000, 120_000)
STREAM_SHARD_BYTES_S = 1e6
PUT_BYTES = 25 * 2**10


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a rate takes with one evaluator.

    Attributes:
        evaluator: of the model.
        rate: attempts a second, of all regions.
        region_rate: of one, while another is lost.
        cores: busy in one region then, of the measured machine's, by part.
        store: each copy of a store.
        nodes: of a region, by its name.
        replicated_gb: sent from region to region in a month, all regions.
        decisions: of a month.
        dollars: a month, all regions, by part.
        total: of these.
        per_million: dollars for a million decisions.
        beyond: limits of the service, or head room, that this goes past.
    """

    evaluator: str
    rate: int
    region_rate: float
    cores: dict[str, float]
    store: Store
    nodes: dict[str, Nodes]
    replicated_gb: float
    decisions: float
    dollars: dict[str, float]
    total: float
    per_million: float
    beyond: list[str]


def sources_of(topology: Topology) -> int:
    """Stores that a decision reads.

    Raises:
        OperatorError: the table cannot be made of such a topology.
    """
    found = {len(region.sources) for region in topology.regions.values()}
    if len(topology.regions) < 2 or len(found) > 1:
        raise OperatorError(
            "a cost with one region lost needs two regions or more that read as many stores each."
        )
    return found.pop()


def costs_of(
    measured: Sequence[Measured],
    prices: Prices,
    topology: Topology,
    kept: Mapping[str, float],
    *,
    rates: Sequence[int],
) -> list[Cost]:
    """What each rate takes with each evaluator; see `cost_of`."""
    return [cost_of(one, prices, topology, kept, rate=rate) for rate in rates for one in measured]


def fewer_ids(prices: Prices) -> Prices:
    """The same prices where every id is used twice as often, so that there are half as many."""
    plan = msgspec.structs.replace(prices.plan, id_uses_day=2 * prices.plan.id_uses_day)
    return msgspec.structs.replace(prices, plan=plan)


def cost_of(
    measured: Measured,
    prices: Prices,
    topology: Topology,
    kept: Mapping[str, float],
    *,
    rate: int,
) -> Cost:
    """What a rate takes.

    Args:
        measured: CPU, bytes and memory of a decision.
        prices: and assumptions.
        topology: as `sources_of` takes it.
        kept: days that a store keeps an entity, by kind.
        rate: attempts a second, of all regions.

    Raises:
        OperatorError: there is no price for something.
    """
    regions, plan = topology.regions, prices.plan
    region_rate = rate / (len(regions) - 1)
    cores = {
        "scorers": region_rate * measured.scorer_us / 1e6,
        "followers": region_rate * measured.followers_us / 1e6,
        "applier": region_rate * measured.applier_us / 1e6,
        "datastores": region_rate * measured.datastores_us / 1e6,
    }
    store = store_of(measured, prices, kept, region_rate, cores["datastores"])
    nodes = {
        name: _nodes(measured, prices, cores, store, region_rate, copies=len(region.sources) - 1)
        for name, region in regions.items()
    }
    decisions = rate * plan.mean_load * prices.month_hours * 3_600
    dollars: dict[str, float] = {}
    replicated_gb = 0.0
    for name in regions:
        readers = sum(name in other.sources for other in regions.values()) - 1
        used = _usage(measured, prices, nodes[name], decisions / len(regions), readers)
        replicated_gb += used.region_gb
        for part, more in monthly_dollars(prices, name, nodes[name], used).items():
            dollars[part] = dollars.get(part, 0.0) + more
    total = sum(dollars.values())
    return Cost(
        evaluator=measured.evaluator,
        rate=rate,
        region_rate=region_rate,
        cores=cores,
        store=store,
        nodes=nodes,
        replicated_gb=replicated_gb,
        decisions=decisions,
        dollars=dollars,
        total=total,
        per_million=total / decisions * 1e6,
        beyond=_beyond(store, cores["applier"] / plan.core_share, plan.host_use),
    )


def _nodes(
    measured: Measured,
    prices: Prices,
    cores: Mapping[str, float],
    store: Store,
    region_rate: float,
    *,
    copies: int,
) -> Nodes:
    """What stands in a region; `copies` of other regions' stores among it."""
    plan = prices.plan

    def hosts(busy: float, host: str, at_least: int) -> int:
        vcpus = prices.hosts[host].vcpus * plan.host_use * plan.core_share
        return max(at_least, math.ceil(busy / vcpus))

    scorers = hosts(cores["scorers"] + cores["followers"], plan.scorer_host, plan.zones)
    appliers = hosts(cores["applier"], plan.applier_host, plan.applier_hosts_min)
    stream_bytes_s = region_rate * measured.sizes.record_bytes
    return Nodes(
        hosts={
            "scorer hosts": (plan.scorer_host, scorers),
            "applier hosts": (plan.applier_host, appliers),
        },
        datastores={store.node: store.shards * (plan.home_nodes + copies * plan.copy_nodes)},
        volume_gb=plan.volume_gb * (scorers + appliers),
        stream_shards=math.ceil(stream_bytes_s / (STREAM_SHARD_BYTES_S * plan.stream_use)),
        balancers=1,
    )


def _usage(
    measured: Measured, prices: Prices, nodes: Nodes, decisions: float, readers: int
) -> Usage:
    """What a region uses in a month for so many decisions, sent to so many other regions."""
    plan, sizes = prices.plan, measured.sizes
    journaled = decisions * sizes.record_bytes
    kept = decisions * (sizes.record_bytes + plan.history_bytes) * plan.record_months
    scorers = nodes.hosts["scorer hosts"][1]
    anchors = scorers * prices.month_hours * 3_600  # one a host and second
    return Usage(
        stream_puts=journaled / RUN_BYTES_MAX * math.ceil(RUN_BYTES_MAX / PUT_BYTES),
        object_gb=kept / 1e9,
        object_puts=journaled / (plan.segment_mb * 1e6) + anchors,
        balancer_gb=decisions * (sizes.request_bytes + sizes.answer_bytes) / 1e9,
        region_gb=decisions * sizes.replicated_bytes * readers / 1e9,
        zone_gb=decisions * sizes.store_bytes * (1 - 1 / plan.zones) / 1e9,
    )


def _beyond(store: Store, applier: float, use: float) -> list[str]:
    found = []
    if store.shards > SHARDS_MAX:
        found.append(f"a store needs {store.shards} shards, the topology takes {SHARDS_MAX}")
    if applier > use:
        found.append(
            f"the applier of a region, one process, would be busy {applier:.0%} of {use:.0%}"
        )
    return found
