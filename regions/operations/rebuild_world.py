"""A rebuild of one region of the running world: its servers, supervised, and its history."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Literal

from app.streams.connection import connect
from regions.operations.next_store import NextStore, Report
from regions.operations.rebuild import Rebuilding, Servers
from regions.operations.stores import RunningWorld
from regions.world.control import World
from regions.world.home import Home

__all__ = ["rebuilding"]

_READY_S_MAX = 60.0
_CLEANLY: Literal["SIGTERM"] = "SIGTERM"


def rebuilding(world: RunningWorld, region: str, *, report: Report, stack: ExitStack) -> Rebuilding:
    """The steps for a region that runs here.

    Args:
        world: that runs.
        region: whose store it is.
        report: told the share done and what is being done.
        stack: closes what is opened.

    Raises:
        WorldError: no supervisor runs.
    """
    settings = world.stores.settings[region]
    password = settings.datastore_password()
    clients = [
        connect(shard, password, name="stepdown-operations") for shard in settings.store_shards()
    ]
    for client in clients:
        stack.callback(client.close)
    supervisor = World.connect(world.home)
    parts = ["datastore" if at == 0 else f"datastore-{at}" for at in range(len(clients))]

    def hold() -> None:
        for part in parts:
            supervisor.hold(f"{region}/{part}", _CLEANLY)

    def release() -> None:
        for part in parts:
            supervisor.release(f"{region}/{part}")
        for part in parts:
            supervisor.wait_ready(f"{region}/{part}", timeout_s=_READY_S_MAX)

    return Rebuilding(
        region=region,
        store=NextStore(
            folders=[Home(world.home).region(region) / part for part in parts],
            history=settings.region_folder / "history",
            features=settings.feature_set,
            now_ms=lambda: time.time_ns() // 1_000_000,
        ),
        servers=Servers(
            clients=clients,
            hold=hold,
            release=release,
            applied=lambda: world.stores.own(region),
        ),
        report=report,
    )
