"""The part of the README that a campaign writes."""

from __future__ import annotations

from chaos.engine.results import Results
from chaos.report.figures import Figures

__all__ = ["SECTION", "section"]

SECTION = "drills"


def section(results: Results, figures: Figures) -> str:
    """Markdown of what a campaign came to."""
    passed = sum(one.result.passed for one in results.drills)
    pairs = sum(one.result.passed for one in results.pairs)
    apart = sum(one.passed for one in results.apart)
    red = sum(one.as_expected for one in results.controls)
    green = sum(one.state == "passed" for one in figures.rows)
    lines = [
        f"| campaign of {results.begun_at[:10]}, commit {results.commit or 'unknown'} | |",
        "|---|---|",
        f"| rows of the fault matrix green | {green} of {len(figures.rows)} |",
        f"| drills passed | {passed} of {len(results.drills)} |",
        f"| pairs of faults passed | {pairs} of {len(results.pairs)} |",
        f"| drills with figures of their own passed | {apart} of {len(results.apart)} |",
        f"| controls that turned red, as they have to | {red} of {len(results.controls)} |",
        f"| attempts in faults, failed | {figures.requests:,}, {figures.failed:,} |",
        f"| in void runs, in no bound | {figures.void_requests:,}, {figures.void_failed:,} |",
        f"| availability in faults, at least (95 %, exact) | {figures.availability_lower_95:.4%} |",
        f"| unavailability a year at the assumed rates | {figures.unavailability:.1e} |",
    ]
    lines += [
        f"| run again at commit {commit} | {', '.join(names)} |"
        for commit, names in results.again.items()
    ]
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    both = " What was run again counts both times among the attempts." if results.outdated else ""
    return "\n".join([*lines, "", f"Measured on: {machine}; seed {results.seed}.{both}"])
