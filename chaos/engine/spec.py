"""A drill as data: one TOML file, read strictly, so that a slip of the pen is no milder drill."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from app.errors import OperatorError
from chaos.engine.primitives import check
from chaos.engine.watches import Watch
from chaos.engine.wire import DEADLINE_MS

__all__ = [
    "DRILLS",
    "LAST_ROW",
    "Abort",
    "Drill",
    "Fault",
    "decode_drill",
    "find_drills",
    "load_drills",
]

DRILLS = Path(__file__).parents[1] / "drills"
LAST_ROW = 50

Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Row = Annotated[int, msgspec.Meta(ge=1, le=LAST_ROW)]
# Of one drill, or of a pair, joined by "+".
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,39}(\+[a-z][a-z0-9-]{0,39})?$")]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Rung = Literal["full", "batch", "rules", "tier_default"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault of a drill.

    Attributes:
        do: a primitive; see `chaos.engine.primitives`.
        target: what it does it to; `{region}` stands for the region that is drilled.
        after_s: seconds from the start of the hold.
        options: of the primitive.
    """

    do: str
    target: str = "{region}"
    after_s: Seconds = 0.0
    options: dict[str, Any] = {}


class Abort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to give a drill up, so that it does no more harm than it has to show.

    Attributes:
        failed_share: of the requests on the faulted path, more than which ends the hold.
        requests_min: with fewer, a share says nothing.
    """

    failed_share: Share = 0.5
    requests_min: Annotated[int, msgspec.Meta(ge=1)] = 200


class Drill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One drill.

    Attributes:
        name: unique, as the file.
        title: what is broken, one line.
        rows: of the fault matrix.
        hypothesis: what holds all the while.
        fis: the AWS Fault Injection Service action that does the same to a real region.
        load: through the client library, or straight at the region's API.
        deadline_ms: of an answer; None for what the client has in all, or the service at its
            endpoint.
        rate: attempts a second in all.
        faulted_share: of the clients' load that is homed in the drilled region.
        phases: episodes, each with the fault at a random instant.
        baseline_s: of each before the fault.
        phase_s: range that the random instant adds to the baseline.
        hold_s: how long the fault is there.
        hold_s_min: with less it shows nothing, not even in a smoke run.
        recovery_s: bound from the return of what was away to what the load got before.
        recovered: what counts as that: what the load got before, or good answers of any region.
        answered_by: who answers in the hold: a region, or the client's own default.
        rungs: least share of each in the hold.
        allowed_failed: failures that are no failure of the drill, in all episodes.
        settle_s: from the fault on, after which `settled_share` must hold; None: no such bound.
        settled_share: of the requests due then that must be good.
        ejected_s: bound from the fault to the last client's leaving the region; None for none.
        tries_max: requests for each attempt of the callers, at most; None for no bound.
        added_p50_ms_max: what the fault may add to the median latency; None for no bound.
        watch: what is looked at beside the load; see `chaos.engine.watches`.
        abort: see `Abort`.
        smoke: whether `--smoke` runs it, with one short episode.
        faults: what is done, in order.
    """

    name: Name
    title: Text
    rows: Annotated[tuple[Row, ...], msgspec.Meta(min_length=1)]
    hypothesis: Text
    fis: Text
    load: Literal["client", "region"]
    deadline_ms: Annotated[float, msgspec.Meta(ge=20, le=60_000)] | None = None
    rate: Annotated[float, msgspec.Meta(ge=1, le=1_000)]
    faulted_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.6
    phases: Annotated[int, msgspec.Meta(ge=1, le=100)]
    baseline_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 4.0
    phase_s: Seconds = 1.0
    hold_s: Annotated[float, msgspec.Meta(gt=0, le=600)]
    hold_s_min: Seconds = 0.0
    recovery_s: Annotated[float, msgspec.Meta(gt=0, le=600)]
    recovered: Literal["as_before", "answered"] = "as_before"
    answered_by: Literal["region", "client"] = "region"
    rungs: dict[Rung, Share] = {}
    allowed_failed: Annotated[int, msgspec.Meta(ge=0)] = 0
    settle_s: Seconds | None = None
    settled_share: Share = 1.0
    ejected_s: Seconds | None = None
    tries_max: Annotated[float, msgspec.Meta(ge=1)] | None = None
    added_p50_ms_max: Annotated[float, msgspec.Meta(gt=0)] | None = None
    watch: Watch | None = None
    abort: Abort = Abort()
    smoke: bool = False
    faults: Annotated[tuple[Fault, ...], msgspec.Meta(min_length=1)]

    @property
    def limit_ms(self) -> float:
        """Deadline of an answer."""
        return self.deadline_ms or DEADLINE_MS[self.load]


def decode_drill(path: Path) -> Drill:
    """Read one drill.

    Raises:
        OperatorError: the file cannot be read or is no drill, in one sentence.
    """
    try:
        drill = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Drill)
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise OperatorError(f"{path} is no drill: {error}.") from None
    problem = _problem(drill, path)
    if problem is not None:
        raise OperatorError(f"{path} is no drill: {problem}.")
    return drill


def load_drills(folder: Path = DRILLS) -> dict[str, Drill]:
    """All drills of a folder, by name, in the order of the matrix.

    Raises:
        OperatorError: one is none.
    """
    drills = [decode_drill(path) for path in sorted(folder.glob("*.toml"))]
    return {drill.name: drill for drill in sorted(drills, key=lambda one: one.rows)}


def find_drills(names: list[str], drills: dict[str, Drill]) -> list[Drill]:
    """Drills by name.

    Raises:
        OperatorError: there is no such drill.
    """
    for name in names:
        if name not in drills:
            raise OperatorError(f"there is no drill {name!r}; see 'stepdown drill list'.")
    return [drills[name] for name in names]


def _problem(drill: Drill, path: Path) -> str | None:
    """What the types cannot say; None where nothing is wrong."""
    if drill.name != path.stem:
        return f"its name is {drill.name!r}, and that of the file {path.stem!r}"
    if sum(drill.rungs.values()) > 1:
        return "the least shares of its rungs are more than 1 in all"
    if drill.answered_by == "client" and drill.load != "client":
        return "only a load of clients is answered by the client's default"
    late = [fault.do for fault in drill.faults if fault.after_s >= drill.hold_s]
    if late:
        return f"the fault {late[0]!r} comes when the hold is over"
    problems = [check(fault.do, fault.options) for fault in drill.faults]
    return next((problem for problem in problems if problem is not None), None)
