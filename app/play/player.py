"""Posts a script's events to a service: in lockstep with its counters, or at a rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import aiohttp
import msgspec
import numpy as np

from app.play.answers import Answers, Verdicts
from app.play.follow_ups import FollowUp
from app.play.groups import Group, Groups
from app.play.pace import Pace
from app.play.script import Event, Script
from fallback.rung import Action

__all__ = ["Player", "Waits", "play"]

TIMEOUT_S = 10.0
IN_FLIGHT_MAX = 32  # in lockstep
GROUP_MAX = 256

Report = Callable[[float, str], None]


class Waits(Protocol):
    """What a play waits for, of the service that it is played to."""

    async def midnight(self, day: int) -> None:
        """Have what the day begins with in force everywhere."""
        ...

    async def counted(self, *, effects: int) -> None:
        """Have everything counted that was answered, and as many effects of follow-ups."""
        ...

    async def hold(self, group: Callable[[], Awaitable[None]]) -> None:
        """Run something while nothing is counted."""
        ...


class _Decided(msgspec.Struct, frozen=True):
    """What is read of an answer."""

    rung: str
    action: Action
    score: float | None


class Player:
    """Posts attempts, outcomes and labels, and keeps what is answered."""

    def __init__(
        self,
        script: Script,
        session: aiohttp.ClientSession,
        apis: Iterable[str],
        *,
        headers: Mapping[str, str],
    ) -> None:
        """Prepare.

        Args:
            script: what to play.
            session: HTTP.
            apis: addresses of the service, used in turn.
            headers: of every request.
        """
        self.answers = Answers(verdicts=Verdicts.none(len(script.history)))
        self._session = session
        self._apis = tuple(apis)
        self._headers = dict(headers)
        posted = script.history.take(script.rows)
        self._bodies = [
            msgspec.json.encode({**document, "occurred_at": _instant(at_ms)})
            for document, at_ms in zip(posted.documents(), posted.received_ms.tolist(), strict=True)
        ]
        self._first = script.first
        self._attempt_ids = script.history.attempts["attempt_id"]
        self._received_ms = script.history.received_ms
        self._decode = msgspec.json.Decoder(_Decided).decode

    async def attempt(self, row: int, due_s: float | None = None) -> None:
        """Post one attempt; its latency counts from when it was due, which is now by default."""
        due_s = time.monotonic() if due_s is None else due_s
        body = self._bodies[row - self._first]
        status, content = await self._post("/v1/decisions", body, row)
        if status != 200:
            self.answers.failed[f"status {status}" if status else content.decode()] += 1
            return
        decided = self._decode(content)
        self.answers.decided(
            row,
            rung=decided.rung,
            action=decided.action,
            score=decided.score,
            latency_ms=(time.monotonic() - due_s) * 1_000,
        )

    async def follow_up(self, said: FollowUp) -> None:
        """Post an outcome or a label."""
        what = "label" if said.label else "outcome"
        body = self._label(said) if said.label else self._outcome(said)
        status, content = await self._post(f"/v1/{what}s", body, said.row)
        if status != 202:
            why = f"status {status}" if status else content.decode()
            self.answers.failed[f"{what}: {why}"] += 1
            return
        self.answers.labels += said.label
        self.answers.outcomes += not said.label
        self.answers.effects += said.effects

    def _label(self, said: FollowUp) -> bytes:
        return msgspec.json.encode(
            {
                "label_id": f"lab_{said.row}_{said.at_ms}",
                "attempt_id": self._attempt_ids[said.row].as_py(),
                "label": said.said,
                "source": "chargeback",
                "event_at": _instant(int(self._received_ms[said.row])),
                "arrived_at": _instant(said.at_ms),
            }
        )

    def _outcome(self, said: FollowUp) -> bytes:
        return msgspec.json.encode(
            {
                "outcome_id": f"out_{said.row}_{said.at_ms}_{said.said}",
                "attempt_id": self._attempt_ids[said.row].as_py(),
                "kind": said.said,
                # A replay takes it for the receipt, which is what the history knows.
                "occurred_at": _instant(said.at_ms),
            }
        )

    async def _post(self, path: str, body: bytes, row: int) -> tuple[int, bytes]:
        """Status and content; status 0 and what went wrong where nothing answered."""
        api = self._apis[row % len(self._apis)]
        try:
            async with self._session.post(api + path, data=body, headers=self._headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, type(error).__name__.encode()


async def play(
    script: Script,
    apis: Iterable[str],
    *,
    key: str,
    pace: Pace,
    groups: Groups | None = None,
    waits: Waits | None = None,
    report: Report,
) -> tuple[Answers, float]:
    """Play a script.

    Args:
        script: what to play.
        apis: addresses of the service, used in turn.
        key: API key that may decide, and take outcomes and labels.
        pace: how fast.
        groups: of the script; needed in lockstep.
        waits: for the service; without it nothing is waited for, and its midnights are somebody
            else's. Needed in lockstep.
        report: told the share done and what is being done.

    Returns:
        The answers, and how many seconds of posting they took, midnights left out.

    Raises:
        OperatorError: the service does not follow.
    """
    took_s, posted = 0.0, 0
    async with _session() as session:
        headers = {"X-Api-Key": key, "Content-Type": "application/json"}
        player = Player(script, session, apis, headers=headers)
        for day in script.days:
            if waits is not None:
                await waits.midnight(day)
            started_s = time.monotonic()
            if pace.lockstep:
                assert groups is not None
                assert waits is not None
                steps = _in_lockstep(player, groups.of_day(day, size_max=GROUP_MAX), waits)
            else:
                steps = _at_rate(player, script.events(day), pace.rate)
            async for done in steps:
                posted += done
                report(posted / len(script.rows), str(np.datetime64(day, "D")))
            took_s += time.monotonic() - started_s
    return player.answers, took_s


async def _in_lockstep(player: Player, groups: Iterable[Group], waits: Waits) -> AsyncIterator[int]:
    """Post a day group by group; yields the attempts of each that is counted."""
    for group in groups:

        async def post(group: Group = group) -> None:
            await _post_group(player, group)

        await (waits.hold(post) if group.tied else post())
        await waits.counted(effects=player.answers.effects)
        yield len(group.attempts)


async def _post_group(player: Player, group: Group) -> None:
    """Post events that cannot interact; follow-ups first, since they take longer to count."""
    free = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def within(work: Coroutine[None, None, None]) -> None:
        async with free:
            await work

    await asyncio.gather(
        *(within(player.follow_up(said)) for said in group.said),
        *(within(player.attempt(row)) for row in group.attempts),
    )


async def _at_rate(player: Player, events: list[Event], rate: float) -> AsyncIterator[int]:
    """Post a day in order at a rate, each attempt at its own time whatever came before.

    What is said between two attempts goes with the later one.
    """
    in_flight: set[asyncio.Task[None]] = set()
    start_s, sent = time.monotonic(), 0
    for event in events:
        due_s = start_s + sent / rate
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        said = event.said
        work = player.attempt(event.row, due_s) if said is None else player.follow_up(said)
        task = asyncio.create_task(work)
        in_flight.add(task)
        task.add_done_callback(in_flight.discard)
        if said is None:
            sent += 1
            yield 1
    await asyncio.gather(*in_flight)


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        connector=aiohttp.TCPConnector(limit=0),
    ) as session:
        yield session


def _instant(unix_ms: int) -> str:
    text = datetime.fromtimestamp(unix_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
