"""Faults of links: of the proxies that everything between the regions goes through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import msgspec

from app.errors import OperatorError
from chaos.engine.alternating import in_turns
from chaos.engine.ground import Ground
from chaos.engine.processes import NoOptions
from regions.world.toxiproxy import Direction, Toxic

__all__ = ["Flapping", "ToxicOptions", "down", "flapping", "toxic"]

TOXIC = "drill"
# What Toxiproxy fills in where it is not told, and then holds.
_FILLED = {"latency": {"jitter": 0}, "slicer": {"size_variation": 0, "delay": 0}}


class ToxicOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A toxic, as Toxiproxy has it: times in ms (slicer: us), rates in KB/s.

    Attributes:
        type: `latency`, `bandwidth`, `timeout`, `slicer`, `limit_data`, `reset_peer`, `slow_close`.
        stream: `downstream` is towards who connected.
        toxicity: share of the connections.
        attributes: of the type.
    """

    type: str
    stream: Direction = "downstream"
    toxicity: float = 1.0
    attributes: dict[str, int] = {}


class Flapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often links go down, and for which share of the time."""

    period_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.0
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5


@contextmanager
def down(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """Links are refused and hung up."""
    network = ground.network()
    with ExitStack() as stack:
        for name in _links(ground, target):
            stack.enter_context(network.down(name))
        yield


@contextmanager
def flapping(ground: Ground, target: str, options: Flapping) -> Iterator[None]:
    """Links are refused and hung up in turns."""
    with in_turns(
        lambda: down(ground, target, NoOptions()),
        share=options.share,
        period_s=options.period_s,
    ):
        yield


@contextmanager
def toxic(ground: Ground, target: str, options: ToxicOptions) -> Iterator[None]:
    """Links have a toxic on them."""
    network = ground.network()
    made = Toxic(
        name=TOXIC,
        type=options.type,
        stream=options.stream,
        toxicity=options.toxicity,
        attributes=_FILLED.get(options.type, {}) | options.attributes,
    )
    with ExitStack() as stack:
        for name in _links(ground, target):
            stack.enter_context(network.toxic(name, made))
        yield


def _links(ground: Ground, target: str) -> list[str]:
    """Names of the links that begin so.

    Raises:
        OperatorError: there is none.
    """
    found = [link.name for link in ground.plan.links if link.name.startswith(target)]
    if not found:
        raise OperatorError(f"no link begins with {target!r}.")
    return found
