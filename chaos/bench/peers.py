"""Peers: the full model alone, without any feature, behind other servers.

Each has an environment of its own in `HOME/peers-NAME`, made from `requirements/peer-NAME.lock`,
one worker, the core of the scorer, and the same rows posted as JSON by the same generator, in a
closed loop. None is a dependency of the project.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from chaos.bench.serving import latency_of

__all__ = ["PEERS", "Peer", "Rows", "measure_peers"]

HERE = Path(__file__).parent
# In place of a number that is not there: no JSON says NaN.
MISSING = -1.0
WARM_UP_S = 2.0
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


def measure_peers(
    home: Path,
    models: Path,
    *,
    port: int,
    seconds: float,
    connections: int,
    report: Callable[[float, str], None],
) -> list[dict[str, Any]]:
    """Measure every peer, saturated. One that cannot be had or started is a row that says why.

    Args:
        home: folder of their environments.
        models: where the model is published.
        port: to serve at; the next two are free as well.
        seconds: of the measurement.
        connections: of the closed loop.
        report: told the share done and what is being done.
    """
    found = []
    for number, peer in enumerate(PEERS.values()):
        done = number / len(PEERS)
        report(done, f"peer {peer.name}")
        try:
            python = ensure_environment(
                home / f"peers-{peer.name}",
                peer.name,
                lambda what, done=done: report(done, what),  # type: ignore[misc]
                REQUIREMENTS / f"peer-{peer.name}.lock",
            )
            found.append(
                _measure(peer, python, models, port=port, seconds=seconds, connections=connections)
            )
        except (OperatorError, OSError) as error:
            found.append({"name": peer.name, "missing": str(error)})
    return found


def _measure(
    peer: Peer, python: Path, models: Path, *, port: int, seconds: float, connections: int
) -> dict[str, Any]:
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
            serving.saturate(WARM_UP_S, connections)
            saturation = serving.saturate(seconds, connections)
            half = Phase(seconds=seconds, rate=saturation.rate * HALF)
            sent = serving.send(half, connections=connections)
    cpu_us, latency = saturation.cpu_us["server"], latency_of(sent)
    return {
        "name": peer.name,
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
