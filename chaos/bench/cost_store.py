"""What a region's store holds, and on how many nodes of which type.

A store keeps an id for `kept` days behind its last use. With ids used at random times, `uses` a day
each, the attempts of a day come from `attempts / uses` ids, of which the store holds

    ids = attempts a day / uses x (1 - exp(-uses x kept))
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from app.features.spec import Entity, FeatureSet
from chaos.bench.measured import Measured
from chaos.bench.prices import Machine, Prices

__all__ = ["MANY", "SHARDS_MAX", "Store", "kept_days", "node_of", "store_of"]

# As many as the topology takes.
SHARDS_MAX = 3
GIB = 2**30
DAY_S = 86_400
# The others are few: a merchant or a BIN is in many attempts.
MANY = (Entity.CARD, Entity.EMAIL, Entity.DEVICE, Entity.IP)


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """One copy of a region's store.

    Attributes:
        ids: entities kept.
        gib: memory that they and the claimed attempt ids take.
        cores: busy with commands.
        node: type.
        shards: nodes that one copy takes.
    """

    ids: float
    gib: float
    cores: float
    node: str
    shards: int


def kept_days(features: FeatureSet) -> dict[str, float]:
    """Days that a store keeps an entity behind its last event, of those that are many."""
    return {
        entity.value: 2 * features.horizon_ms(entity) / (DAY_S * 1e3)
        for entity in MANY
        if entity in features.entities
    }


def node_of(datastores: Mapping[str, Machine], *, gib: float, cores: float) -> tuple[str, int]:
    """The type of node, and the number of shards, that hold and serve a store for least.

    Args:
        datastores: types.
        gib: memory of a node that the data takes, its reserve included.
        cores: that are to be there for commands, head room included; a shard gives one.

    Returns:
        Of all layouts that the topology takes the cheapest, of two that cost the same that with
        fewer shards; where it takes none, the one with the fewest.
    """

    def shards(node: str) -> int:
        return max(1, math.ceil(cores), math.ceil(gib / datastores[node].gib))

    def price(node: str) -> float:
        return shards(node) * datastores[node].hour

    def rank(node: str) -> tuple[int, float, int]:
        return max(shards(node), SHARDS_MAX), price(node), shards(node)

    best = min(datastores, key=rank)
    return best, shards(best)


def store_of(
    measured: Measured,
    prices: Prices,
    kept: Mapping[str, float],
    region_rate: float,
    cores: float,
) -> Store:
    """One copy of a region's store.

    Args:
        measured: memory of an entity and of an attempt id.
        prices: of nodes, and assumptions.
        kept: days that an entity is kept, by kind.
        region_rate: attempts a second of the region.
        cores: busy in all stores that the region reads.
    """
    plan, sizes = prices.plan, measured.sizes
    population = region_rate * plan.mean_load * DAY_S / plan.id_uses_day
    ids = {kind: population * -math.expm1(-plan.id_uses_day * days) for kind, days in kept.items()}
    claims = region_rate * plan.claim_s * sizes.claim_memory
    gib = (sum(sizes.entity_memory[kind] * many for kind, many in ids.items()) + claims) / GIB
    own = cores / sizes.sources
    node, shards = node_of(
        prices.datastores,
        gib=gib / plan.store_memory,
        cores=own / plan.core_share / plan.store_use,
    )
    return Store(ids=sum(ids.values()), gib=gib, cores=own, node=node, shards=shards)
