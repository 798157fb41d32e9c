"""Peers: the full model alone, without any feature, behind other servers.

Each has an environment of its own in `HOME/peers-NAME`, made from `requirements/peer-NAME.lock`,
one worker, the core of the scorer, and the same rows posted as JSON by the same generator, in a
closed loop. All of them run while the rows are measured, so that each row is held against them
within a minute; one that is asked nothing takes next to nothing. None is a dependency of the
project.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from app.errors import OperatorError
from app.models.artifact import ARTIFACT, GOLDEN, ArtifactFacts, Golden
from app.publish import current
from chaos.bench.environment import REQUIREMENTS, ensure_environment
from chaos.bench.generator import Phase
from chaos.bench.hot import HALF
from chaos.bench.processes import HOST, served
from chaos.bench.serving import Serving, latency_of

__all__ = ["PEERS", "Peer", "Rows", "Served", "measure_peers", "peers_served"]

HERE = Path(__file__).parent
# In place of a number that is not there: no JSON says NaN.
MISSING = -1.0
WARM_UP_S = 2.0
# MLServer takes three.
PORTS = 3
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs of the full model, by name."""

    numbers: tuple[dict[str, float], ...]
    categories: tuple[dict[str, str], ...]

    def bodies(self, body: Callable[[Mapping[str, float], Mapping[str, str]], Body]) -> list[bytes]:
        """Each row as a peer takes it, JSON."""
        pairs = zip(self.numbers, self.categories, strict=True)
        return [json.dumps(body(*pair)).encode() for pair in pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another server.

    Attributes:
        name: of it.
        path: that rows are posted to.
        body: a row as it takes it.
        command: that serves, after the interpreter, at a port.
        files: of its folder, by name, for a port: a file to copy, or content.
    """

    name: str
    path: str
    body: Callable[[Mapping[str, float], Mapping[str, str]], Body]
    command: Callable[[int], list[str]]
    files: Callable[[int], dict[str, Path | str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Peers that run.

    Attributes:
        serving: by name.
        missing: why there is none of this name.
    """

    serving: Mapping[str, Serving] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def _mlserver_body(numbers: Mapping[str, float], categories: Mapping[str, str]) -> Body:
    columns: list[tuple[str, str, float | str]] = [
        *((name, "FP32", value) for name, value in numbers.items()),
        *((name, "BYTES", value) for name, value in categories.items()),
    ]
    return {
        "parameters": {"content_type": "pd"},
        "inputs": [
            {"name": name, "shape": [1, 1], "datatype": kind, "data": [value]}
            | ({"parameters": {"content_type": "str"}} if kind == "BYTES" else {})
            for name, kind, value in columns
        ],
    }


def _mlserver_files(port: int) -> dict[str, Path | str]:
    return {
        "settings.json": json.dumps(
            {
                "host": HOST,
                "http_port": port,
                "grpc_port": port + 1,
                "metrics_port": port + 2,
                "parallel_workers": 0,
                "debug": False,
            }
        ),
        "model-settings.json": json.dumps(
            {
                "name": "checkout",
                "implementation": "mlserver_catboost.CatboostModel",
                "parameters": {"uri": "./full.cbm"},
            }
        ),
    }


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="fastapi",
            path="/score",
            body=lambda numbers, categories: {**numbers, **categories},
            command=lambda port: [
                *("-m", "uvicorn", "service:app", "--host", HOST, "--port", str(port)),
                *("--workers", "1", "--no-access-log", "--log-level", "warning"),
            ],
            files=lambda _port: {"service.py": HERE / "peer_fastapi.py"},
        ),
        Peer(
            name="mlserver",
            path="/v2/models/checkout/infer",
            body=_mlserver_body,
            command=lambda _port: ["-c", "from mlserver.cli import main; main()", "start", "."],
            files=_mlserver_files,
        ),
        Peer(
            name="bentoml",
            path="/score",
            body=lambda numbers, categories: {
                "numbers": dict(numbers),
                "categories": dict(categories),
            },
            command=lambda port: [
                *("-m", "bentoml", "serve", "service:Scorer", "--host", HOST, "--port", str(port)),
            ],
            files=lambda _port: {"service.py": HERE / "peer_bentoml.py"},
        ),
    )
}


@contextmanager
def peers_served(
    home: Path, models: Path, *, port: int, report: Callable[[str], None]
) -> Iterator[Served]:
    """Every peer that can be had and started, side by side on the scorer's core.

    Args:
        home: folder of their environments.
        models: where the model is published.
        port: of the first one; each has `PORTS` to itself.
        report: told what is being done.
    """
    serving: dict[str, Serving] = {}
    missing: dict[str, str] = {}
    with ExitStack() as running:
        for number, peer in enumerate(PEERS.values()):
            report(f"peer {peer.name}")
            try:
                python = ensure_environment(
                    home / f"peers-{peer.name}",
                    peer.name,
                    report,
                    REQUIREMENTS / f"peer-{peer.name}.lock",
                )
                serving[peer.name] = running.enter_context(
                    _served(peer, python, models, port=port + PORTS * number)
                )
            except (OperatorError, OSError) as error:
                missing[peer.name] = str(error)
        yield Served(serving=serving, missing=missing)


def measure_peers(
    served: Served, *, seconds: float, connections: int, report: Callable[[float, str], None]
) -> list[dict[str, Any]]:
    """CPU of every peer, saturated, and its latency at half of that rate.

    Args:
        served: the peers; one that is missing is a row that says why.
        seconds: of each part.
        connections: of the closed loop.
        report: told the share done and what is being done.
    """
    found = []
    for number, name in enumerate(PEERS):
        report(number / len(PEERS), f"peer {name}")
        if name in served.missing:
            found.append({"name": name, "missing": served.missing[name]})
        else:
            found.append(_measured(name, served.serving[name], seconds, connections))
    return found


def _measured(name: str, serving: Serving, seconds: float, connections: int) -> dict[str, Any]:
    saturation = serving.saturate(seconds, connections)
    half = Phase(seconds=seconds, rate=saturation.rate * HALF)
    sent = serving.send(half, connections=connections)
    cpu_us, latency = saturation.cpu_us["server"], latency_of(sent)
    return {
        "name": name,
        "cpu_us": round(cpu_us, 1),
        "decisions_per_core_second": round(1e6 / cpu_us, 1),
        "rate": round(saturation.rate, 1),
        "open_rate": round(half.rate, 1),
        "p50_ms": latency.p50,
        "p99_ms": latency.p99,
        "p999_ms": latency.p999,
        "lag_ms": sent.lag_ms,
        "failures": dict(saturation.sent.failures),
    }


@contextmanager
def _served(peer: Peer, python: Path, models: Path, *, port: int) -> Iterator[Serving]:
    with tempfile.TemporaryDirectory(prefix="stepdown-peer-") as temporary:
        folder = Path(temporary)
        rows = _furnish(folder, models)
        for name, content in peer.files(port).items():
            if isinstance(content, Path):
                shutil.copy(content, folder / name)
            else:
                (folder / name).write_text(content, encoding="utf-8")
        # Nothing of ours may be imported there, and nobody is to be told that it ran.
        environment = {
            "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
            "HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(folder / "bentoml"),
        }
        with served(
            [python, *peer.command(port)],
            folder=folder,
            port=port,
            path=peer.path,
            bodies=rows.bodies(peer.body),
            environment=environment,
        ) as serving:
            serving.saturate(WARM_UP_S)
            yield serving


def _furnish(folder: Path, models: Path) -> Rows:
    """The full model, the names of its inputs, and the rows it was published with."""
    version = models / "versions" / current(models)
    shutil.copy(version / "full.cbm", folder / "full.cbm")
    facts = msgspec.json.decode((version / ARTIFACT).read_bytes(), type=ArtifactFacts).rungs["full"]
    inputs = {"numbers": facts.numbers, "categories": facts.categories}
    (folder / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    golden = msgspec.msgpack.decode((version / GOLDEN).read_bytes(), type=dict[str, Golden])["full"]
    numbers = np.frombuffer(golden.numbers, dtype="<f4").reshape(-1, len(facts.numbers))
    numbers = np.nan_to_num(numbers, nan=MISSING, posinf=MISSING, neginf=MISSING)
    return Rows(
        numbers=tuple(dict(zip(facts.numbers, row, strict=True)) for row in numbers.tolist()),
        categories=tuple(
            {name: value.decode() for name, value in zip(facts.categories, categories, strict=True)}
            for categories in golden.categories
        ),
    )
