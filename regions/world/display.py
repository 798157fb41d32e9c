"""How the world looks at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from regions.world.control import ProcessStatus, WorldStatus
from regions.world.overview import LinkSeen, Overview, Replica
from regions.world.plan import ProcessState

__all__ = [
    "agreement_table",
    "decision_table",
    "exposure_table",
    "process_matrix",
    "process_table",
    "rung_table",
    "source_table",
]

_STATE_STYLE = {
    ProcessState.WAITING: "dim",
    ProcessState.STARTING: "yellow",
    ProcessState.READY: "green",
    ProcessState.BACKOFF: "red",
    ProcessState.PAUSED: "magenta",
    ProcessState.HELD: "magenta",
}
_ACTION_STYLE = {"approve": "green", "step_up": "yellow", "decline": "red"}


def process_table(status: WorldStatus) -> Table:
    """One row a process."""
    table = Table("process", "state", "pid", "uptime", "restarts", "port")
    for process in status.processes:
        style = _STATE_STYLE[process.state]
        table.add_row(
            process.name,
            f"[{style}]{process.state}[/]",
            str(process.pid or "-"),
            _duration(process.uptime_s) if process.pid else "-",
            str(process.restarts),
            str(process.port or "-"),
        )
    return table


def decision_table(samples: Sequence[Mapping[str, Any]]) -> Table:
    """One row a sample attempt: name, amount, action, score, rung, reasons, took_ms."""
    table = Table("attempt", "amount", "action", "score", "rung", "reasons", "took")
    for sample in samples:
        action, score, reasons = sample["action"], sample["score"], sample["reasons"]
        table.add_row(
            str(sample["name"]),
            str(sample["amount"]),
            f"[{_ACTION_STYLE.get(action, 'bold')}]{action}[/]",
            "-" if score is None else f"{score:.3f}",
            str(sample["rung"]),
            reasons if isinstance(reasons, str) else ", ".join(map(str, reasons)),
            f"{sample['took_ms']:.1f} ms",
        )
    return table


def process_matrix(status: WorldStatus) -> Table:
    """One row a part, one column a region; a process that is ready is its pid."""
    table = Table("process", *status.regions)
    cells: dict[str, dict[str, str]] = {}
    for process in status.processes:
        part = process.name.partition("/")[2]
        cells.setdefault(part, {})[process.region] = _cell(process)
    for part, row in cells.items():
        shared = [row[""]] if "" in row else []
        table.add_row(part, *(shared or (row.get(region, "") for region in status.regions)))
    return table


def _cell(process: ProcessStatus) -> str:
    restarts = f", {process.restarts} restarts" if process.restarts else ""
    if process.state is ProcessState.READY:
        return f"{process.pid}{restarts}"
    return f"[{_STATE_STYLE[process.state]}]{process.state}[/]{restarts}"


def rung_table(said: Mapping[str, Mapping[str, Any] | None]) -> Table:
    """One row a rung, one column a region: whether it can be served, or why not."""
    table = Table("rung", *said)
    rungs = {region: (readyz or {}).get("rungs", {}) for region, readyz in said.items()}
    names = dict.fromkeys(name for own in rungs.values() for name in own)
    for name in names:
        table.add_row(name, *(_served(own.get(name)) for own in rungs.values()))
    silent = ["" if readyz else "[red]does not say[/]" for readyz in said.values()]
    if any(silent):
        table.add_row("", *silent)
    return table


def _served(rung: Mapping[str, Any] | None) -> str:
    if rung is None:
        return ""
    return "[green]yes[/]" if rung.get("available") else f"[red]no: {rung.get('why')}[/]"


def source_table(overview: Overview) -> Table:
    """One row a reader and source: how old its counters are there, and how they get there."""
    table = Table("region", "reads", "age", "copy", "round trip")
    links = {
        (seen.link.near, seen.link.far): seen
        for seen in overview.links
        if seen.link.carries == "replication"
    }
    for region, said in overview.regions.items():
        for source, why in (said or {}).get("sources", {}).items():
            age_s = (said or {}).get("ages", {}).get(f"counters:{source}")
            copies = [
                one for one in overview.replicas if (one.reader, one.source) == (region, source)
            ]
            table.add_row(
                region,
                source,
                _age(age_s, why),
                _followed(copies),
                _network(links.get((region, source))),
            )
    return table


def _age(age_s: float | None, why: str | None) -> str:
    age = "never read" if age_s is None else f"{age_s:.2f} s"
    return age if why is None else f"[red]{age}: {why}[/]"


def _followed(copies: Sequence[Replica]) -> str:
    if not copies:
        return "own"
    if not all(one.link == "up" for one in copies):
        return "[red]down[/]"
    behind = max(one.behind_bytes or 0 for one in copies)
    return f"up, {behind:,} B behind" if behind else "up"


def _network(seen: LinkSeen | None) -> str:
    if seen is None:
        return "-"
    if seen.through == "direct":
        return "direct"
    round_trip = f"{2 * seen.link.latency_ms:.0f} ms"
    more = "".join(f", {toxic}" for toxic in seen.toxics)
    style = "" if seen.state == "up" and not more else "[red]"
    return f"{style}{round_trip if seen.state == 'up' else seen.state}{more}"


def agreement_table(said: Mapping[str, Mapping[str, Any] | None]) -> Table | None:
    """One row a lower rung or shadow, one column a region: how often it decides as the full rung.

    None where nothing was compared yet.
    """
    of_region = {region: (readyz or {}).get("agreement") or {} for region, readyz in said.items()}
    names = dict.fromkeys(name for own in of_region.values() for name in own)
    if not names:
        return None
    table = Table("decides as live", *said)
    for name in names:
        table.add_row(name, *(_agreed(own.get(name)) for own in of_region.values()))
    return table


def _agreed(said: Mapping[str, Any] | None) -> str:
    return "" if said is None else f"{said['share']:.1%} of {said['compared']:,}"


def exposure_table(said: Mapping[str, Mapping[str, Any] | None]) -> Table | None:
    """One row a tier: what the lower rungs may approve an hour; None where there is no bound."""
    exposures = {
        region: exposure
        for region, readyz in said.items()
        if isinstance(exposure := (readyz or {}).get("exposure"), dict)
    }
    if not exposures:
        return None
    alone = [region for region, exposure in exposures.items() if not exposure["shared"]]
    first = next(iter(exposures.values()))
    title = f"what lower rungs may approve an hour, {first['hosts']} hosts" + (
        f"; NOT shared by the workers of {', '.join(alone)}" if alone else ""
    )
    used = "used" if len(exposures) == 1 else "used at most"
    columns = ("tier", "budget", "bound of the fleet", "share", used, "an instrument")
    table = Table(*columns, title=title, title_justify="left")
    for name, tier in first["tiers"].items():
        most = max(one["tiers"].get(name, {}).get("used", 0) for one in exposures.values())
        amounts = (tier["budget"], tier["bound"], tier["share"], most, tier["instrument"])
        table.add_row(name, *(f"{amount / 100:,.2f}" for amount in amounts))
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
