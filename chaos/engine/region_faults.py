"""Faults of whole regions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from app.errors import OperatorError
from chaos.engine.ground import Ground
from chaos.engine.processes import NoOptions, held
from regions.world.toxiproxy import Toxic

__all__ = ["Evacuated", "evacuated", "killed", "mute"]

ALL = "*"
OPERATION_S_MAX = 400.0
SILENCE = "drill-silence"


class Evacuated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the region is taken back.

    Attributes:
        bake_s: seconds that each part of the traffic is looked at before the next.
    """

    bake_s: float = 5.0


@contextmanager
def killed(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """Every process of a region is killed at once: its connections are refused from then on."""
    regions = ground.regions if target == ALL else (target,)
    names = [name for region in regions for name in ground.processes(region)]
    with held(ground, names):
        yield


@contextmanager
def mute(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """A black hole: connections to a region stay or are made, and nothing ever answers."""
    scorer = next(name for name in ground.processes(target) if name.endswith("/scorer"))
    with ExitStack() as stack:
        ground.world.pause(scorer)
        stack.callback(ground.world.resume, scorer)
        if ground.plan.network_port is not None:
            network = ground.network()
            for link in ground.links(carries="api", far=target):
                for stream in ("upstream", "downstream"):
                    silence = Toxic(
                        name=f"{SILENCE}-{stream}",
                        type="timeout",
                        stream=stream,
                        attributes={"timeout": 0},
                    )
                    stack.enter_context(network.toxic(link.name, silence))
        yield


@contextmanager
def evacuated(ground: Ground, target: str, options: Evacuated) -> Iterator[None]:
    """A region is evacuated, and restored, by the commands that an operator gives."""
    _operate(ground, "evacuate", target, "--force")
    try:
        yield
    finally:
        _operate(ground, "restore", target, "--bake", f"{options.bake_s:g}")


def _operate(ground: Ground, *words: str) -> None:
    """Give a command of `stepdown regions`.

    Raises:
        OperatorError: it does not go through.
    """
    command = [sys.executable, "-c", "from app.cli import main; main()", "regions", *words]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--home", str(ground.home), "--json"],
        capture_output=True,
        text=True,
        timeout=OPERATION_S_MAX,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise OperatorError(f"'regions {words[0]}' did not go through: {' '.join(last)}")
