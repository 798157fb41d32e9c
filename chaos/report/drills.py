"""One drill of a report: what was done, what it came to, and its course."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from chaos.engine.results import Told
from chaos.report.timeline import timeline

__all__ = ["drill_section", "mark"]


def mark(state: str, word: str) -> str:
    """A word on the colour of a state."""
    return f'<span class="mark {state}">{escape(word)}</span>'


def drill_section(one: Told) -> str:
    """A drill, open where it is not as it has to be."""
    drill, result = one.drill, one.result
    rows = ", ".join(map(str, drill.rows))
    head = (
        f"<summary>{mark(result.state, result.state)}"
        f'<span class="what"><b>{escape(drill.name)}</b> {escape(drill.title)}</span>'
        f'<span class="n">row {rows}</span></summary>'
    )
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in result.problems)
    body = (
        f"<p>{escape(drill.hypothesis)}</p>"
        + (f'<ul class="problems">{problems}</ul>' if problems else "")
        + timeline(one.course, limit_ms=drill.limit_ms)
        + "<dl>"
        + "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in _facts(one))
        + "</dl>"
    )
    opened = "" if one.as_expected else " open"
    return f'<details id="drill-{escape(drill.name)}"{opened}>{head}<div>{body}</div></details>'


def _facts(one: Told) -> list[tuple[str, str]]:
    drill, result = one.drill, one.result
    recovery = "never" if result.recovery_s is None else f"{result.recovery_s:.1f} s"
    least = f"at least {result.availability_lower_95:.4%} (95 %)"
    facts = [
        (
            "availability",
            f"{result.failed:,} of {result.requests:,} failed: {result.availability:.4%}, {least}",
        ),
        (
            "episodes",
            f"{result.episodes}, at least {result.episodes_lower_95:.1%} without any failure",
        ),
        ("elsewhere", f"{result.elsewhere_failed:,} of {result.elsewhere:,} failed"),
        ("answered by", _shares(result.rungs)),
        ("regions", _shares(result.regions)),
        ("latency before", _quantiles(result.latency_ms["before"])),
        ("in the fault", _quantiles(result.latency_ms["hold"])),
        ("recovery", f"{recovery}, of which {result.back_s:.1f} s until what was away was back"),
        ("fraud approved, by value", _shift(result.value, "fraud_approved")),
        ("good declined, by value", _shift(result.value, "good_declined")),
        ("load", f"{drill.load}, {drill.rate:g} a second; held {drill.hold_s:g} s"),
        ("generator", f"{result.lag_p999_ms:.1f} ms late at p99.9"),
        ("processor time given to others", f"{result.stolen:.0%} in the worst seconds"),
        ("machine stood still", f"{result.still_ms:.0f} ms at most"),
        ("with AWS FIS", drill.fis),
    ]
    if result.failures:
        failures = (f"{count:,} {why}" for why, count in result.failures.items())
        facts.insert(1, ("failures", ", ".join(failures)))
    if result.again:
        failed = f"; {result.again_failed:,} failures in them" if result.again_failed else ""
        facts.append(("void episodes run again", f"{result.again}{failed}"))
    if result.ejected_s is not None:
        facts.insert(2, ("callers left the region", f"after {result.ejected_s:.2f} s"))
    if drill.load == "client":
        facts.insert(2, ("requests for an attempt", f"{result.tries:.3f}"))
    return facts


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items()) or "nobody"


def _quantiles(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {ms:.1f} ms" for name, ms in found.items()) or "nothing was sent"


def _shift(value: Mapping[str, Mapping[str, float | None]], what: str) -> str:
    """A share of value before the fault, and in it."""
    before, hold = (value[when][what] for when in ("before", "hold"))
    return " to ".join("unknown" if one is None else f"{one:.2%}" for one in (before, hold))
