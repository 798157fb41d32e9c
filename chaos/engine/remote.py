"""A fleet that is not ours to start or to break: a load on it, and what became of it.

    home = "us-east-1"                       # region that the callers are in
    key_file = "staging-key"                 # API key, in a file of its own
    trusted_keys = "trusted-keys"            # public keys that sign routing documents
    load = "client"                          # or "region": straight at the home's endpoint
    rate = 50.0
    [endpoints]
    us-east-1 = "https://us-east-1.decisions.example"

Paths are relative to the file. Faults are made by the operator meanwhile, or by AWS FIS: the whole
load is taken for the fault's window.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from app.errors import OperatorError
from chaos.engine.bodies import ensure_bodies, read_bodies
from chaos.engine.control_names import ControlName
from chaos.engine.course import Marks
from chaos.engine.measure import measured
from chaos.engine.rig import rig
from chaos.engine.running import Options
from chaos.engine.spec import Drill, Fault
from chaos.engine.verdict import Result, judge

__all__ = ["Remote", "load_remote", "run_remote"]

WARM_UP_S = 4.0
BASELINE_S = 4.0
TAIL_S = 1.0
POLL_S = 0.5

Url = Annotated[str, msgspec.Meta(pattern="^https?://")]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    home: str
    key_file: str
    trusted_keys: str
    endpoints: dict[str, Url]
    load: Literal["client", "region"] = "client"
    rate: Annotated[float, msgspec.Meta(ge=1, le=1_000)] = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A fleet of others, as a load reaches it.

    Attributes:
        home: folder that bodies are drawn from and stand-ins are kept in.
        region: that the callers are in.
        key: of the API.
        trusted_keys: folder of public keys.
        addresses: by region, the callers' first.
        load: through the client library, or straight at the region.
        rate: attempts a second.
    """

    home: Path
    region: str
    key: str
    trusted_keys: Path
    addresses: dict[str, str]
    load: Literal["client", "region"]
    rate: float

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that there are callers in: one."""
        return (self.region,)

    def endpoints(self, caller: str) -> dict[str, str]:
        """Where a caller reaches each region."""
        return {caller: self.addresses[caller], **self.addresses}

    def api(self, region: str) -> str:
        """Where a region's API is."""
        return self.addresses[region]


def load_remote(path: Path, home: Path) -> Remote:
    """Read what names a fleet.

    Args:
        path: of the TOML.
        home: folder of our own state.

    Raises:
        OperatorError: a file cannot be read, or something is missing in it.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
        key = (path.parent / found.key_file).read_text("ascii").strip()
    except OSError as error:
        raise OperatorError(f"{error.filename} cannot be read: {error.strerror}.") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise OperatorError(f"{path} names no fleet: {error}.") from None
    if found.home not in found.endpoints:
        raise OperatorError(f"{path} names no endpoint of {found.home}, where the callers are.")
    return Remote(
        home=home.absolute(),
        region=found.home,
        key=key,
        trusted_keys=path.parent / found.trusted_keys,
        addresses=dict(found.endpoints),
        load=found.load,
        rate=found.rate,
    )


def run_remote(
    remote: Remote, options: Options, *, hold_s: float, report: Callable[[float, str], None]
) -> Result:
    """Send a load, and judge it: every attempt has to be answered in time.

    Args:
        remote: the fleet.
        options: seed, rate, deadline and lag; the rest is of our own regions.
        hold_s: how long, after a baseline.
        report: told the share done and what is being done.

    Raises:
        OperatorError: the load does not run.
    """
    drill = _drill(remote, options, hold_s)
    path = ensure_bodies(remote.home, seed=options.seed)
    failover = options.control is not ControlName.FAILOVER_OFF
    with rig(
        remote, drill, bodies=path, rate=drill.rate, seed=options.seed, failover=failover
    ) as load:
        time.sleep(WARM_UP_S)
        start_s = time.monotonic()
        time.sleep(BASELINE_S)
        inject_s = time.monotonic()
        while (gone_s := time.monotonic() - inject_s) < hold_s:
            report(gone_s / hold_s, f"{drill.rate:g} attempts a second at {remote.region}")
            time.sleep(POLL_S)
        remove_s = time.monotonic()
        time.sleep(TAIL_S)
    marks = Marks(
        start_s=start_s,
        inject_s=inject_s,
        remove_s=remove_s,
        removed_s=remove_s,
        normal_s=remove_s,
        aborted=False,
    )
    episode = measured(
        0,
        drill,
        remote.region,
        marks=marks,
        outcomes=load.outcomes,
        said=load.said,
        ended=load.ended,
        bodies=read_bodies(path),
    )
    return judge(drill, [episode], allowed=options.allowed)


def _drill(remote: Remote, options: Options, hold_s: float) -> Drill:
    return Drill(
        name="target",
        title=f"a load on {', '.join(remote.addresses)}",
        rows=(),
        hypothesis="Every attempt is answered in time, whatever is done to the fleet meanwhile.",
        fis="whichever the operator starts",
        load=remote.load,
        deadline_ms=options.deadline_ms,
        rate=options.rate or remote.rate,
        faulted_share=1.0,
        phases=1,
        hold_s=hold_s,
        recovery_s=1.0,
        recovered="answered",
        faults=(Fault(do="none"),),
    )
