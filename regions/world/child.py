"""One supervised process: started, watched, started again, held down, ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fallback.clock import Clock
from regions.world.backoff import Backoff
from regions.world.control import ProcessStatus
from regions.world.plan import ProcessSpec, ProcessState
from regions.world.precedence import go
from regions.world.readiness import until_ready

__all__ = ["Child"]

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec there must be no import.
_LIBC = ctypes.CDLL(None, use_errno=True)


class Child:
    """Keeps one process of the plan running, unless it is told to keep it down.

    The process leads a session and process group of its own, so that its children can be ended
    with it, and dies with the supervisor.

    Attributes:
        spec: what is run.
        ready: set from the first time the process is ready.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        clock: Clock,
        on_group: Callable[[int, bool], None],
        furnish: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            spec: what to run.
            clock: for uptime and backoff.
            on_group: told of each process group that begins (True) and ends (False).
            furnish: gives the process what it forgets when it ends; it is not ready before.
        """
        self.spec = spec
        self._furnish = furnish
        self.ready = asyncio.Event()
        self._clock = clock
        self._on_group = on_group
        self._backoff = Backoff()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._hurry = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()
        self._spawning = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._state = ProcessState.WAITING
        self._paused = False
        self._more: dict[str, str] = {}
        self._started_s = 0.0
        self._restarts = 0
        self._last_exit: int | None = None

    def start(self) -> None:
        """Begin to keep the process running."""
        self._task = asyncio.create_task(self._keep_running(), name=self.spec.name)

    def status(self) -> ProcessStatus:
        """How it stands."""
        process = self._process
        return ProcessStatus(
            name=self.spec.name,
            region=self.spec.region,
            state=ProcessState.PAUSED if self._paused else self._state,
            pid=process.pid if process else None,
            uptime_s=self._clock.monotonic() - self._started_s if process else 0.0,
            restarts=self._restarts,
            port=self.spec.port,
            log=self.spec.log,
            last_exit=self._last_exit,
        )

    async def hold(self, number: signal.Signals) -> None:
        """End the process and keep it down; SIGKILL follows when `number` is not enough."""
        self._wanted.clear()
        async with self._spawning:
            if self._process is not None:
                self._signal_group(number)
                self._signal_group(signal.SIGCONT)  # a frozen process would not see a SIGTERM
                try:
                    await asyncio.wait_for(self._gone.wait(), self.spec.stop_timeout_s)
                except TimeoutError:
                    self._signal_group(signal.SIGKILL)
                    await self._gone.wait()
        self._state = ProcessState.HELD

    def release(self, environment: Mapping[str, str] | None = None) -> None:
        """Let it run again, at once.

        Args:
            environment: what it gets above its own, until it is released again.
        """
        self._more = dict(environment or {})
        self._backoff.reset()
        self._wanted.set()
        self._hurry.set()

    async def stop(self) -> None:
        """End it for good."""
        await self.hold(signal.SIGTERM)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def pause(self) -> None:
        """Freeze it and its children.

        Raises:
            ProcessLookupError: it does not run.
        """
        self._require_process()
        self._signal_group(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let it and its children go on.

        Raises:
            ProcessLookupError: it does not run.
        """
        self._require_process()
        self._signal_group(signal.SIGCONT)
        self._paused = False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone.

        Raises:
            ProcessLookupError: it does not run.
        """
        self._require_process().send_signal(number)

    async def _keep_running(self) -> None:
        while True:
            await self._wanted.wait()
            await self._run_once()
            if self._wanted.is_set():
                self._restarts += 1
                self._state = ProcessState.BACKOFF
                delay_s = self._backoff.after(self._clock.monotonic() - self._started_s)
                log.warning(
                    "%s ended with %s; next start in %.1f s",
                    self.spec.name, self._last_exit, delay_s,
                )  # fmt: skip
                self._hurry.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), delay_s)

    async def _run_once(self) -> None:
        async with self._spawning:
            if not self._wanted.is_set():
                return
            self._started_s = self._clock.monotonic()
            self._state = ProcessState.STARTING
            try:
                process = await self._spawn()
            except OSError as error:
                log.error("%s cannot be started: %s", self.spec.name, error)  # noqa: TRY400
                self._last_exit = None
                return
            self._process = process
            self._gone.clear()
            self._on_group(process.pid, True)
        watch = asyncio.create_task(self._watch_readiness())
        try:
            self._last_exit = await process.wait()
        finally:
            watch.cancel()
            self._signal_group(signal.SIGKILL)  # what it left behind would keep the port
            self._on_group(process.pid, False)
            self._process = None
            self._paused = False
            self._gone.set()

    async def _spawn(self) -> asyncio.subprocess.Process:
        path = Path(self.spec.log)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as output:  # noqa: ASYNC230 - a local file; the child writes it
            return await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=os.environ | self.spec.environment | self._more,
                start_new_session=True,
                preexec_fn=functools.partial(_begin, os.getpid(), self.spec.niceness),
            )

    async def _watch_readiness(self) -> None:
        await until_ready(self.spec.ready)
        if self._furnish is not None:
            await self._furnish()
        self._state = ProcessState.READY
        self.ready.set()
        log.info("%s is ready", self.spec.name)

    def _require_process(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ProcessLookupError(f"{self.spec.name} does not run")
        return self._process

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _begin(parent: int, niceness: int) -> None:
    """Runs in the new process: the kernel kills it when the supervisor ends, however it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
    go(niceness)
