"""The fault primitives: each a scoped block, found by name, with options of its own.

    process_killed    SIGKILL, kept down                  target: processes, by pattern
    process_signalled one signal, nothing kept            target: a process
    process_paused    SIGSTOP                             target: a process
    store_emptied     SIGKILL, comes back without data    target: a datastore
    store_refusing    runs, and refuses: see there        target: a datastore
    store_spoilt      counters that do not read           target: a datastore
    worker_signalled  SIGSTOP or SIGKILL of one worker    target: a process with workers
    workers_replaced  by SIGHUP, all of them              target: a process with workers
    disk_full         files do not grow any more          target: a process
    model_replaced    one that is broken, or wrong        target: a folder of published models
    poisoned          requests that hurt, beside the load target: a region
    link_down         refused and hung up                 target: the links that begin so
    link_flapping     the same in turns                   target: the links that begin so
    link_toxic        slow, mute, cut: any toxic          target: the links that begin so
    file_gone         not there                           target: a path below the home
    file_broken       something else in it                target: a path below the home
    region_killed     SIGKILL of every process            target: a region, or `*` for all
    region_mute       connections stay, nothing answers   target: a region
    region_grey       a share of the answers is late      target: a region
    region_evacuated  taken out as an operator does       target: a region
    load_multiplied   more attempts than were planned     target: the region

`region_grey` and `load_multiplied` are done by the load: Toxiproxy draws a toxic once for a
connection, and what is grey is grey for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec

from chaos.engine import (
    edges,
    files,
    model_faults,
    poison,
    processes,
    region_faults,
    scorer_faults,
    store_faults,
    store_values,
)
from chaos.engine.ground import Ground

__all__ = ["PRIMITIVES", "Grey", "Multiplied", "Primitive", "check", "enter"]


class Grey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How grey: this share of the answers comes so much later; probes of health do not."""

    share: float = 0.3
    late_ms: float = 200.0


class Multiplied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many times the planned rate."""

    factor: float = 3.0


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive.

    Attributes:
        options: their type.
        block: enters it: on what, to what, with which options; None where the load does it.
    """

    options: type[msgspec.Struct]
    block: Callable[[Ground, str, Any], AbstractContextManager[None]] | None


PRIMITIVES: Mapping[str, Primitive] = {
    "process_killed": Primitive(processes.NoOptions, processes.killed),
    "process_signalled": Primitive(processes.Signalled, processes.signalled),
    "process_paused": Primitive(processes.NoOptions, processes.paused),
    "store_emptied": Primitive(processes.NoOptions, processes.emptied),
    "store_refusing": Primitive(store_faults.Refusing, store_faults.refusing),
    "store_spoilt": Primitive(store_values.Spoilt, store_values.spoilt),
    "workers_replaced": Primitive(processes.NoOptions, scorer_faults.workers_replaced),
    "worker_signalled": Primitive(scorer_faults.WorkerSignalled, scorer_faults.worker_signalled),
    "disk_full": Primitive(processes.NoOptions, scorer_faults.disk_full),
    "model_replaced": Primitive(model_faults.Replaced, model_faults.replaced),
    "poisoned": Primitive(poison.Poisoned, poison.poisoned),
    "link_down": Primitive(processes.NoOptions, edges.down),
    "link_flapping": Primitive(edges.Flapping, edges.flapping),
    "link_toxic": Primitive(edges.ToxicOptions, edges.toxic),
    "file_gone": Primitive(processes.NoOptions, files.gone),
    "file_broken": Primitive(processes.NoOptions, files.broken),
    "region_killed": Primitive(processes.NoOptions, region_faults.killed),
    "region_mute": Primitive(processes.NoOptions, region_faults.mute),
    "region_evacuated": Primitive(region_faults.Evacuated, region_faults.evacuated),
    "region_grey": Primitive(Grey, None),
    "load_multiplied": Primitive(Multiplied, None),
}


def check(name: str, options: Mapping[str, Any]) -> str | None:
    """What is wrong with a fault, as part of a sentence; None where nothing is."""
    primitive = PRIMITIVES.get(name)
    if primitive is None:
        return f"there is no fault {name!r}; there are {', '.join(PRIMITIVES)}"
    try:
        msgspec.convert(options, primitive.options)
    except msgspec.ValidationError as error:
        return f"the options of {name!r} cannot be used: {error}"
    return None


def enter(
    ground: Ground, name: str, target: str, options: Mapping[str, Any]
) -> AbstractContextManager[None] | None:
    """The block of a fault that was checked; None where the load does it."""
    primitive = PRIMITIVES[name]
    if primitive.block is None:
        return None
    return primitive.block(
        ground, ground.named(target), msgspec.convert(options, primitive.options)
    )
