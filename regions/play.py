"""A history played to a region of its own: brought up in replay mode, warmed up, taken down.

The region lives in a folder of its own and is built like any other, but for what a play does not
need: nobody explains its decisions, writes its history or asks where it is. Its counters are built
by its own applier, from the warm-up as history.

A rung below `full` is measured by taking away what the rungs above it need, as the drill `descent`
does:

    batch          no datastore, and no applier to fill it
    rules          no model published, besides
    tier_default   no rule file, besides
"""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from app.errors import OperatorError
from app.features.sets import feature_set
from app.features.spec import DAY_MS
from app.models.artifact import Artifact
from app.play.answers import Answers
from app.play.counted import Counters
from app.play.groups import Groups
from app.play.pace import Pace
from app.play.player import play
from app.play.script import Script
from app.play.warm import Stage
from app.settings import Shard
from app.streams.connection import connect
from fallback.rung import RungName
from regions.topology import load_topology
from regions.world.control import World
from regions.world.embedded import embedded_plan
from regions.world.home import Home
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.plan import Plan
from regions.world.settings import WorldSettings

__all__ = ["play_to_own_region"]

READY_S = 120.0
POLL_S = 0.1
NOT_NEEDED = ("historian", "explainer", "dns")
FULL_NEEDS = ("datastore", "applier")  # the former once a shard
# In lockstep every wait is waited for.
SHORT_LINGER = {"STEPDOWN_SHIPPER_LINGER_MS": "1", "STEPDOWN_LINGER_MS": "1"}
# A source may take this share of the deadline, and half a second at most.
SOURCE_SHARE, SOURCE_MS_MAX = 0.3, 500

Report = Callable[[float, str], None]


def play_to_own_region(
    script: Script,
    artifact: Artifact,
    *,
    models: Path,
    settings: WorldSettings,
    rung: RungName,
    pace: Pace,
    report: Report,
) -> tuple[Answers, float]:
    """Bring a region up, play a script to it, take it down.

    Args:
        script: what to play.
        artifact: the model in force where models are published.
        models: where that is.
        settings: of the local world; its ports, workers and first region are used.
        rung: highest that may answer.
        pace: how fast.
        report: told the share done and what is being done.

    Returns:
        The answers, and how many seconds of posting they took.

    Raises:
        OperatorError: something cannot be prepared, or does not follow.
        WorldError: the processes do not run.
    """
    region, topology = settings.regions[0], load_topology()
    with tempfile.TemporaryDirectory(prefix="stepdown-play-", ignore_cleanup_errors=True) as folder:
        own = replace(
            settings,
            home=Path(folder),
            regions=(region,),
            features=artifact.facts.features,  # type: ignore[arg-type]  # loaded: it is one
        )
        stage = Stage(
            home=own.home,
            region=region,
            number=topology.region(region).number,
            features=feature_set(artifact.facts.features),
            script=script,
            highest=rung,
        )
        key = stage.prepare(models, lambda share, what: report(0.15 * share, what))
        report(0.15, "starting the region")
        with _running(own, _environment(pace), rung) as plan, ExitStack() as stack:
            service = _Service.of(plan, own, stage)
            for client in service.shards:
                stack.callback(client.close)
            return asyncio.run(
                play(
                    script,
                    [service.api],
                    key=key,
                    pace=pace,
                    groups=Groups(script, stage.features) if pace.lockstep else None,
                    waits=service,
                    report=lambda share, what: report(0.2 + 0.8 * share, what),
                )
            )


def _environment(pace: Pace) -> dict[str, str]:
    """Settings of the region's processes, above those of any region."""
    assert pace.deadline_ms is not None
    return {
        "STEPDOWN_REPLAY": "1",
        "STEPDOWN_DEADLINE_TARGET_MS": str(pace.deadline_ms),
        "STEPDOWN_DEADLINE_HARD_MS": str(max(pace.deadline_ms, 100)),
        "STEPDOWN_SOURCE_TIMEOUT_MS": str(
            min(round(pace.deadline_ms * SOURCE_SHARE), SOURCE_MS_MAX)
        ),
        **(SHORT_LINGER if pace.lockstep else {}),
    }


@contextmanager
def _running(
    settings: WorldSettings, environment: dict[str, str], highest: RungName
) -> Iterator[Plan]:
    """The region's processes, for as long as the block lasts."""
    left_out = NOT_NEEDED if highest is RungName.FULL else (*NOT_NEEDED, *FULL_NEEDS)
    full = embedded_plan(settings, load_topology())
    plan = Plan(
        processes=tuple(
            msgspec.structs.replace(spec, environment={**spec.environment, **environment})
            for spec in full.processes
            if not spec.name.rpartition("/")[2].startswith(left_out)
        )
    )
    check_ports(plan)
    try:
        with claim(settings.home) as claimed:
            world = claimed.launch(plan)
        wait_until_ready(world, timeout_s=READY_S, on_status=lambda _status: None)
        yield plan
    finally:
        bring_down(settings.home)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    """The running region. Implements `app.play.player.Waits`.

    Attributes:
        api: address.
        operations_port: of the operations listener.
        workers: scorers that there are.
        stage: its folder.
        world: its processes.
        counters: of its journals and store.
        shards: clients of its store.
    """

    api: str
    operations_port: int
    workers: int
    stage: Stage
    world: World
    counters: Counters
    shards: tuple[Any, ...]

    @classmethod
    def of(cls, plan: Plan, settings: WorldSettings, stage: Stage) -> _Service:
        """What a plan runs."""
        ports = {spec.name: spec.port for spec in plan.processes if spec.port is not None}
        password = Home(settings.home).datastore_password.read_text("utf-8").strip()
        shards = tuple(
            connect(Shard("127.0.0.1", port), password, name="stepdown-play")
            for name, port in ports.items()
            if "/datastore" in name
        )
        return cls(
            api=f"http://{settings.connect_host}:{ports[f'{stage.region}/scorer']}",
            operations_port=ports[f"{stage.region}/operations"],
            workers=settings.workers,
            stage=stage,
            world=World(settings.home),
            counters=Counters(stage.folder / "journal", shards),
            shards=shards,
        )

    async def midnight(self, day: int) -> None:
        """Publish what the day begins with, and wait until every scorer serves by it."""
        if day != self.stage.script.days.start:  # that one was there before the region
            await asyncio.to_thread(self.stage.publish_midnight, day)
        give_up_s = time.monotonic() + READY_S
        while not await asyncio.to_thread(self._follows, day * DAY_MS):
            if time.monotonic() > give_up_s:
                raise OperatorError(
                    f"the region does not serve from {self.stage.highest} and the snapshot of day "
                    f"{day} within {READY_S:.0f} s: {_asked(self.operations_port)}"
                )
            await asyncio.sleep(POLL_S)

    async def counted(self, *, effects: int) -> None:
        """See `Waits`."""
        await self.counters.have_all(effects=effects)

    async def hold(self, group: Callable[[], Awaitable[None]]) -> None:
        """Run something while the applier stands still."""
        applier = f"{self.stage.region}/applier"
        self.world.pause(applier)
        try:
            await group()
        finally:
            self.world.resume(applier)

    def _follows(self, midnight_ms: int) -> bool:
        """Whether every scorer has the midnight's snapshot, and the rung is the highest."""
        said = _asked(self.operations_port)
        # The oldest snapshot of all scorers; its age is told in seconds of a wall clock.
        age_s = said.get("ages", {}).get("snapshot")
        available = [name for name, rung in said.get("rungs", {}).items() if rung["available"]]
        return (
            said.get("scorers") == self.workers
            and available[:1] == [self.stage.highest]
            and age_s is not None
            and time.time() - age_s > midnight_ms / 1_000 - DAY_MS / 2_000
        )


def _asked(port: int) -> dict[str, Any]:
    """What the operations listener says; nothing while it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return {}
    finally:
        connection.close()
