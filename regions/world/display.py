"""How the world looks at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from regions.world.control import WorldStatus
from regions.world.plan import ProcessState

__all__ = ["decision_table", "exposure_table", "process_table", "rung_table"]

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


def rung_table(region: str, readyz: Mapping[str, Any] | None) -> Table | str:
    """One row a rung of a region, or a sentence when it does not say."""
    rungs = (readyz or {}).get("rungs")
    if not isinstance(rungs, dict):
        return f"{region} does not say which rungs it can serve."
    columns = ("rung", "can be served", "why not", "decides as the full rung")
    table = Table(*columns, title=region, title_justify="left")
    agreement = (readyz or {}).get("agreement") or {}
    for name, rung in rungs.items():
        available = bool(rung.get("available"))
        table.add_row(
            name,
            "[green]yes[/]" if available else "[red]no[/]",
            str(rung.get("why") or ""),
            _agreed(agreement.get(name)),
        )
    if version := ((readyz or {}).get("versions") or {}).get("shadow"):
        said = _agreed(agreement.get("shadow")) or "none yet"
        table.caption = f"model {version} in shadow, decides as live: {said}"
        table.caption_justify = "left"
    return table


def _agreed(said: Mapping[str, Any] | None) -> str:
    return "" if said is None else f"{said['share']:.1%} of {said['compared']:,}"


def exposure_table(region: str, readyz: Mapping[str, Any] | None) -> Table | None:
    """One row a tier: what the lower rungs may approve an hour; None where there is no bound."""
    exposure = (readyz or {}).get("exposure")
    if not isinstance(exposure, dict):
        return None
    alone = "" if exposure["shared"] else "; NOT shared by its workers"
    title = f"{region}: what lower rungs may approve an hour, {exposure['hosts']} hosts{alone}"
    columns = ("tier", "budget", "bound of the fleet", "share", "used", "an instrument")
    table = Table(*columns, title=title, title_justify="left")
    for name, tier in exposure["tiers"].items():
        amounts = (tier[fact] for fact in ("budget", "bound", "share", "used", "instrument"))
        table.add_row(name, *(f"{amount / 100:,.2f}" for amount in amounts))
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
