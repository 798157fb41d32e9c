"""A server that is measured: who sends to it, on which cores, and what it used for an answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from app.errors import OperatorError
from chaos.bench.cpu import Cores, used_s
from chaos.bench.generator import LAG_MS_MAX, Job, Phase, Sent
from chaos.precedence import ahead

__all__ = ["Latency", "Saturation", "Serving", "latency_of", "request", "rungs_of"]

CONNECTIONS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server and what is sent to it.

    Attributes:
        host: of the server.
        port: of the server.
        requests: whole HTTP requests, sent in turn.
        cores: what runs where.
        trees: pids by part of the server, as they are now.
    """

    host: str
    port: int
    requests: Sequence[bytes]
    cores: Cores
    trees: Callable[[], Mapping[str, Sequence[int]]]

    def with_header(self, header: bytes) -> Serving:
        """The same server, sent one more header with every request."""
        requests = [one.replace(b"\r\n", b"\r\n" + header + b"\r\n", 1) for one in self.requests]
        return replace(self, requests=requests)

    def send(self, *phases: Phase, connections: int = CONNECTIONS, seed: int = 7) -> Sent:
        """Send requests, from a process on the cores of the generator.

        Raises:
            subprocess.CalledProcessError: the generator failed.
        """
        job = Job(
            host=self.host,
            port=self.port,
            requests=list(self.requests),
            phases=list(phases),
            connections=connections,
            seed=seed,
        )
        done = subprocess.run(
            [sys.executable, "-m", "chaos.bench.generator"],
            input=msgspec.json.encode(job),
            stdout=subprocess.PIPE,
            check=True,
            preexec_fn=lambda: _on_time(self.cores.others),
        )
        return msgspec.json.decode(done.stdout, type=Sent)

    def saturate(self, seconds: float, connections: int = CONNECTIONS) -> Saturation:
        """Keep the server as busy as so many connections can.

        Raises:
            OperatorError: it answered nothing.
        """
        trees = self.trees()
        before = {part: used_s(pids) for part, pids in trees.items()}
        sent = self.send(Phase(seconds=seconds), connections=connections)
        after = {part: used_s(pids) for part, pids in trees.items()}
        answers = len(sent.latency_ms)
        if not answers:
            raise OperatorError(f"port {self.port} answered nothing: {dict(sent.failures)}.")
        return Saturation(
            sent=sent,
            cpu_us={
                part: sum(used - before[part][pid] for pid, used in of.items()) / answers * 1e6
                for part, of in after.items()
            },
            rate=answers / seconds,
            ended=tuple(part for part, of in after.items() if len(of) < len(before[part])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """A server that had as much to do as it could.

    Attributes:
        sent: what came back.
        cpu_us: CPU of each part's processes, an answer.
        rate: answers a second.
        ended: parts of which a process ended meanwhile, whose CPU is not known.
    """

    sent: Sent
    cpu_us: dict[str, float]
    rate: float
    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Latency from the time that a request should have been sent, ms.

    Attributes:
        p50: median; None, as the others, where the generator was late itself or none answered.
        p99: 99 %.
        p999: 99.9 %.
    """

    p50: float | None = None
    p99: float | None = None
    p999: float | None = None


def latency_of(sent: Sent) -> Latency:
    """Quantiles of a run; none of one that is void."""
    if sent.lag_p999_ms > LAG_MS_MAX or not sent.latency_ms:
        return Latency()
    p50, p99, p999 = np.percentile(sent.latency_ms, [50, 99, 99.9]).round(3).tolist()
    return Latency(p50=p50, p99=p99, p999=p999)


def _on_time(cores: frozenset[int]) -> None:
    """Put the generator on its cores, before what else runs there: it sleeps most of the time."""
    os.sched_setaffinity(0, cores)
    ahead()


def rungs_of(*runs: Sent) -> dict[str, float]:
    """Share of each rung among the answers of all runs, the most frequent first."""
    counts = Counter(sent.rungs[at] if at >= 0 else "none" for sent in runs for at in sent.rung)
    return {name: round(count / counts.total(), 4) for name, count in counts.most_common()}


def request(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A whole HTTP request that posts JSON."""
    lines = [
        f"POST {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
