"""What the drills on truth across regions found, at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from chaos.attack import Attack
from chaos.burst import Burst
from chaos.truth import Agreement
from chaos.twice import Twice

__all__ = ["agreement_said", "attack_table", "burst_table", "twice_table"]


def agreement_said(found: Agreement) -> str:
    """Whether every region reads what was sent, in a sentence or two."""
    if not found.counters:
        return "nothing to compare"
    seconds = ", ".join(
        f"{region} {'never' if equal_s is None else f'after {equal_s:.1f} s'}"
        for region, equal_s in found.equal_s.items()
    )
    said = (
        f"{found.counters:,} counters of {found.entities:,} entities equal what was sent: "
        f"{seconds}; {found.lost:,} attempts lost, {found.twice:,} counted twice"
    )
    for one in found.examples:
        read = "cannot be read" if one.read is None else f"is {one.read:,g}"
        said += f"\n  {one.region}: {one.counter} of {one.id} {read}, {one.sent:,g} was sent"
    return said


def attack_table(attacks: Sequence[Attack]) -> Table:
    """One row an attack."""
    table = Table(
        "decided by", "attempts", "approved alone", "approved by turns", "beyond", "bound", "rungs"
    )
    for attack in attacks:
        table.add_row(
            attack.decides,
            str(attack.sent),
            str(attack.alone),
            str(attack.split),
            f"{attack.over:+}",
            str(attack.bound),
            _rungs(attack.rungs),
        )
    return table


def twice_table(found: Twice) -> Table:
    """One row a way of sending."""
    table = Table("sent to two regions", "attempts", "as it must be", "decided twice", "taken back")
    for later in found.later:
        name = f"later to {later.region}"
        table.add_row(name, str(later.attempts), f"{later.same} the same decision", "-", "-")
    once = found.at_once
    table.add_row(
        "at once",
        str(once.attempts),
        f"{once.attempts - once.unclear} one decision stands",
        str(once.twice),
        str(once.superseded),
    )
    return table


def burst_table(bursts: Sequence[Burst]) -> Table:
    """One row a kind of burst."""
    table = Table(
        "decided by", "regions", "attempts", "within", "approved", "bound", "beside", "rungs"
    )
    for burst in bursts:
        table.add_row(
            burst.decides,
            str(burst.regions),
            f"{burst.rounds} x {burst.attempts}",
            f"{burst.sent_ms:.0f} ms",
            ", ".join(map(str, burst.approved)),
            "none" if burst.bound is None else str(burst.bound),
            ", ".join(map(str, burst.beside)),
            _rungs(burst.rungs),
        )
    return table


def _rungs(rungs: Mapping[str, int]) -> str:
    return ", ".join(f"{rung} {count:,}" for rung, count in sorted(rungs.items()))
