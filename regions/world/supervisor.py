"""The supervisor: one detached process that owns all others.

Started by `regions.world.lifecycle`, which hands over the locked lock file, as
`python -m regions.world.supervisor HOME LOCK_FD`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from fallback.clock import Clock, SystemClock
from regions.world import guard
from regions.world.child import Child
from regions.world.control import Reply, Request, WorldStatus
from regions.world.home import Home, write_private
from regions.world.leftovers import Group, State
from regions.world.plan import NETWORK, Plan
from regions.world.procfs import boot_id, identify

__all__ = ["Supervisor", "main"]

RETRY_S = 0.5

log = logging.getLogger(__name__)


class Supervisor:
    """Runs a plan until it is told to stop, and answers on the control socket."""

    def __init__(self, plan: Plan, home: Home, *, clock: Clock) -> None:
        self._home = home
        self._groups: dict[int, Group] = {}
        self._guard = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._plan = plan
        self._children = {
            spec.name: Child(
                spec,
                clock=clock,
                on_group=self._note_group,
                furnish=self._put_links if spec.name == NETWORK else None,
            )
            for spec in plan.processes
        }
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Start everything, answer requests, and return when all has stopped."""
        self._write_state()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_stop)
        path = self._home.place_socket()
        server = await asyncio.start_unix_server(self._accept, path)
        path.chmod(0o600)
        starts = [asyncio.create_task(self._start_region(region)) for region in self._regions()]
        try:
            await self._stopped.wait()
        finally:
            for start in starts:
                start.cancel()
            server.close()
            if self._connections:  # who asked for the stop shall have the answer
                await asyncio.wait(self._connections, timeout=1.0)
            self._home.remove_socket()
            self._home.state.unlink(missing_ok=True)

    def status(self) -> WorldStatus:
        """How everything stands."""
        return WorldStatus(
            supervisor_pid=os.getpid(),
            processes=tuple(child.status() for child in self._children.values()),
        )

    def _regions(self) -> list[str]:
        return list(dict.fromkeys(child.spec.region for child in self._children.values()))

    def _of_region(self, region: str) -> list[Child]:
        return [child for child in self._children.values() if child.spec.region == region]

    async def _start_region(self, region: str) -> None:
        for child in self._of_region(region):
            child.start()
            await child.ready.wait()

    async def _put_links(self) -> None:
        """Give the network its links, each time that it has started."""
        from regions.world.toxiproxy import (  # noqa: PLC0415 - most worlds have no network
            ToxiproxyError,
            put_links,
        )

        port = self._plan.network_port
        assert port is not None, "a plan with a network says where it is"
        while True:
            try:
                return await asyncio.to_thread(put_links, port, self._plan.links)
            except ToxiproxyError as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(RETRY_S)

    def _begin_stop(self) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        return self._stopping

    async def _stop(self) -> None:
        await asyncio.gather(*(self._stop_region(region) for region in self._regions()))
        log.info("everything has stopped")
        self._stopped.set()

    async def _stop_region(self, region: str) -> None:
        for child in reversed(self._of_region(region)):
            await child.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            await self._carry_out(msgspec.json.decode(line, type=Request))
        except (msgspec.DecodeError, ProcessLookupError, ValueError) as error:
            return Reply(error=str(error))
        return Reply(status=self.status())

    async def _carry_out(self, request: Request) -> None:
        if request.do == "status":
            return
        log.info("asked to %s %s", request.do, request.name or "")
        if request.do == "stop":
            await asyncio.shield(self._begin_stop())
            return
        child = self._child(request.name)
        match request.do:
            case "hold":
                await child.hold(_signal(request.signal or "SIGKILL"))
            case "release":
                child.release(request.environment)
            case "pause":
                child.pause()
            case "resume":
                child.resume()
            case "signal":
                child.send(_signal(request.signal))

    def _child(self, name: str | None) -> Child:
        if name not in self._children:
            raise ValueError(f"there is no process {name!r}; there are {', '.join(self._children)}")
        return self._children[name]

    def _note_group(self, pid: int, begins: bool) -> None:
        """Tell the guard and the state file: one of them is left when this process is not."""
        assert self._guard.stdin is not None
        try:
            self._guard.stdin.write(f"{'+' if begins else '-'}{pid}\n".encode())
        except BrokenPipeError:
            log.warning("the guard has ended; the state file is what is left to clean up by")
        if begins:
            self._groups[pid] = Group(leader=identify(pid), session=pid)
        else:
            del self._groups[pid]
        self._write_state()

    def _write_state(self) -> None:
        state = State(
            boot=boot_id(), supervisor=identify(os.getpid()), groups=tuple(self._groups.values())
        )
        write_private(self._home.state, msgspec.json.encode(state))


def _signal(name: str | None) -> signal.Signals:
    try:
        return signal.Signals[name or ""]
    except KeyError:
        raise ValueError(f"there is no signal {name!r}") from None


def main(arguments: list[str]) -> None:
    """Run the plan of a home until it is stopped.

    Args:
        arguments: the home folder, and the descriptor of its locked lock file, which this
            process keeps open for as long as it lives.
    """
    home = Home(Path(arguments[0]))
    os.set_inheritable(int(arguments[1]), False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    plan = msgspec.json.decode(home.plan.read_bytes(), type=Plan)
    supervisor = Supervisor(plan, home, clock=SystemClock())
    asyncio.run(supervisor.run())


if __name__ == "__main__":
    main(sys.argv[1:])
