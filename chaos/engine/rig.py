"""The load of one episode: its processes, what they said so far, and the faults that they do."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from app.errors import OperatorError
from chaos.engine.grey import grey_proxy, turned_grey
from chaos.engine.primitives import Grey, Multiplied
from chaos.engine.reached import Reached
from chaos.engine.spec import Drill, Fault
from chaos.engine.wire import Ended, Job, Outcome, Said, Started, Turn

__all__ = ["Rig", "rig"]

LOG = "load.log"
START_S_MAX = 60.0
END_S_MAX = 60.0
_lines = msgspec.json.Decoder(Started | Outcome | Said | Ended)


@dataclass(slots=True)
class _Sender:
    """One load process."""

    job: Job
    process: subprocess.Popen[bytes]
    reader: threading.Thread | None = None

    def tell(self, turn: Turn) -> None:
        """Tell it; one that has gone is found out at the end."""
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(turn) + b"\n")
        self.process.stdin.flush()


@dataclass(slots=True)
class Rig:
    """The running load.

    Attributes:
        outcomes: so far, in order of their answers.
        said: by clients so far.
        ended: what each process came to; filled when the load has ended.
        started: processes that send.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    _senders: list[_Sender] = field(default_factory=list)
    _grey: IO[bytes] | None = None
    _log: IO[bytes] | None = None

    def block(self, fault: Fault) -> ExitStack:
        """A fault that the load does itself, entered."""
        stack = ExitStack()
        if fault.do == "region_grey":
            assert self._grey is not None
            grey = msgspec.convert(fault.options, Grey)
            stack.enter_context(turned_grey(self._grey, share=grey.share, late_ms=grey.late_ms))
        else:
            stack.enter_context(self._multiplied(msgspec.convert(fault.options, Multiplied).factor))
        return stack

    @contextmanager
    def _multiplied(self, factor: float) -> Iterator[None]:
        """So many times the attempts."""
        for one in self._senders:
            one.tell(Turn(rate=one.job.rate * factor))
        try:
            yield
        finally:
            for one in self._senders:
                one.tell(Turn(rate=one.job.rate))

    def _start(self, job: Job) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "chaos.engine.load_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        sender = _Sender(job, process)
        self._senders.append(sender)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
        sender.reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        sender.reader.start()

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            match _lines.decode(line):
                case Outcome() as outcome:
                    self.outcomes.append(outcome)
                case Said() as said:
                    self.said.append(said)
                case Ended() as ended:
                    self.ended.append(ended)
                case Started() as started:
                    self.started.append(started)

    def _wait_started(self) -> None:
        """Wait until every process sends.

        Raises:
            OperatorError: one does not.
        """
        give_up_s = time.monotonic() + START_S_MAX
        while len(self.started) < len(self._senders):
            if time.monotonic() > give_up_s or any(
                one.process.poll() is not None for one in self._senders
            ):
                raise OperatorError(
                    f"a load process does not start; see drills/{LOG} below the home."
                )
            time.sleep(0.05)

    def _stop(self) -> None:
        """Have every process end, and read what it says last.

        Raises:
            OperatorError: one ended before it was told to.
        """
        for one in self._senders:
            if one.process.poll() is None:
                one.tell(Turn(stop=True))
        for one in self._senders:
            one.process.wait(END_S_MAX)
            assert one.reader is not None
            one.reader.join(END_S_MAX)
        if len(self.ended) < len(self._senders):
            raise OperatorError(
                f"a load process ended before its time; see drills/{LOG} below the home."
            )

    def _kill(self) -> None:
        for one in self._senders:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
            for pipe in (one.process.stdin, one.process.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def rig(
    ground: Reached, drill: Drill, *, bodies: Path, rate: float, seed: int, failover: bool
) -> Iterator[Rig]:
    """A load for as long as the block lasts; all its outcomes are there after it."""
    folder = ground.home / "drills"
    with ExitStack() as stack:
        running = Rig(_log=stack.enter_context((folder / LOG).open("ab")))
        grey_port: int | None = None
        if any(fault.do == "region_grey" for fault in drill.faults):
            running._grey, grey_port = stack.enter_context(grey_proxy(ground, seed=seed))  # noqa: SLF001 - its own maker
        stack.callback(running._kill)  # noqa: SLF001
        for number, home in enumerate(_homes(ground, drill)):
            endpoints = ground.endpoints(home)
            if grey_port is not None and home == ground.region:
                endpoints[home] = f"http://127.0.0.1:{grey_port}"
            kept = folder / "stand-ins" / f"{home}-{time.time_ns()}.jsonl"
            running._start(  # noqa: SLF001
                Job(
                    kind=drill.load,
                    home=home,
                    endpoints=endpoints,
                    key=ground.key,
                    trusted_keys=str(ground.trusted_keys),
                    bodies=str(bodies),
                    rate=rate * _share(ground, drill, home),
                    deadline_ms=drill.limit_ms,
                    failover=failover,
                    stand_ins=str(kept),
                    seed=seed * 31 + number,
                )
            )
        running._wait_started()  # noqa: SLF001
        yield running
        running._stop()  # noqa: SLF001


def _homes(ground: Reached, drill: Drill) -> tuple[str, ...]:
    """Regions that there are callers in."""
    return ground.regions if drill.load == "client" else (ground.region,)


def _share(ground: Reached, drill: Drill, home: str) -> float:
    """Of the load, by home."""
    homes = _homes(ground, drill)
    if len(homes) == 1:
        return 1.0
    if home == ground.region:
        return drill.faulted_share
    return (1 - drill.faulted_share) / (len(homes) - 1)
