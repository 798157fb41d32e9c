"""What the exposure drill found, at a terminal."""

from __future__ import annotations

from rich.table import Table

from chaos.exposure import ExposureResult

__all__ = ["exposure_found", "exposure_table"]


def exposure_table(result: ExposureResult) -> Table:
    """One row a tier."""
    table = Table("tier", "bound of the fleet", "approved", "withheld")
    for name, tier in result.tiers.items():
        bound = "none" if tier.bound is None else _units(tier.bound)
        table.add_row(name, bound, _units(tier.approved), _units(tier.withheld))
    return table


def exposure_found(result: ExposureResult) -> str:
    """The run in a sentence or two."""
    rungs = ", ".join(f"{rung} {count:,}" for rung, count in sorted(result.rungs.items()))
    failures = "".join(f", {what} {count:,}" for what, count in result.failures.items())
    said = (
        f"{result.requests:,} attempts at {result.hosts} hosts of {result.workers} workers, "
        f"{result.unanswered} unanswered{failures} ({rungs})"
    )
    if result.unsettled:
        said += f"; never answered by {', '.join(result.unsettled)}"
    if result.instrument_excess > 0:
        said += f"; an instrument was approved {_units(result.instrument_excess)} past its cap"
    return said


def _units(minor: int) -> str:
    return f"{minor / 100:,.2f}"
