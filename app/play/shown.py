"""A play's report at the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from app.play.report import Report

__all__ = ["print_report"]


def print_report(report: Report) -> None:
    """Print the figures, and recall by pattern of fraud where the data names patterns."""
    table = Table(show_header=False, box=None)
    for name, value in _figures(report):
        table.add_row(f"[bold]{name}", value)
    screen = Console()
    screen.print(table)
    if report.patterns:
        screen.print(_patterns(report))


def _figures(report: Report) -> list[tuple[str, str]]:
    shares = ", ".join(f"{rung} {share:.2%}" for rung, share in report.rungs.items())
    latency, offline = report.latency_ms, report.offline
    compared: list[tuple[str, str]] = []
    if offline is not None:
        worst = "an answer is missing" if offline.worst is None else f"worst {offline.worst:.2g}"
        found = f"average precision {offline.average_precision:.4f}, recall {offline.recall:.2%}"
        same = f"{offline.exact:.3%} to 1e-6, {offline.close:.3%} to .01, {worst}"
        compared = [("offline", found), ("as offline", same)]
    said = f"{report.labels:,} labels, {report.outcomes:,} outcomes"
    return [
        ("average precision", f"{report.average_precision:.4f}"),
        ("ROC AUC", f"{report.roc_auc:.4f}"),
        ("card precision at 100", f"{report.card_precision_at_100:.4f}"),
        ("recall at precision 20 %", f"{report.recall_at_precision_20:.4f}"),
        ("fraud not approved", f"{report.recall:.2%}"),
        ("genuine not approved", f"{report.false_alarms:.2%}"),
        *compared,
        ("evaluated", f"{report.rows:,} attempts, {report.fraud:,} fraud"),
        ("posted", f"{report.requests:,} attempts, {said}"),
        ("failed", f"{report.failed:,} {report.failures or ''}"),
        ("rungs", shares),
        ("latency, ms", f"p50 {latency.p50}, p99 {latency.p99}, p99.9 {latency.p999}"),
        ("attempts a second", f"{report.attempts_per_second:,}"),
    ]


def _patterns(report: Report) -> Table:
    table = Table(box=None)
    table.add_column("pattern")
    for name in ("fraud", "not approved", "recall"):
        table.add_column(name, justify="right")
    for name, of in report.patterns.items():
        table.add_row(name, f"{of.fraud:,}", f"{of.caught:,}", f"{of.recall:.1%}")
    return table
