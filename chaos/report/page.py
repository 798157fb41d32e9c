"""The report of drills: one page, readable at three in the morning, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from chaos.engine.results import Apart, Results, Told
from chaos.report.drills import drill_section, mark
from chaos.report.figures import Figures, RowState
from chaos.report.style import STYLE
from chaos.report.timeline import COLOURS

__all__ = ["page"]

# What a tile says beside its colour.
WORDS = {
    "passed": "green",
    "failed": "red",
    "void": "void",
    "test": "by tests",
    "nothing": "not drilled",
    "notrun": "not run",
}
ALLOWED = 1e-4


def page(results: Results, figures: Figures) -> str:
    """The page.

    Args:
        results: of drills.
        figures: made of them.
    """
    body = [
        *_head(results, figures),
        *_matrix(figures.rows),
        *_controls(results.controls),
        *_budget(figures),
        *_drills("Drills", "drills", results.drills),
        *_drills("Pairs of faults, drawn at random", "pairs", results.pairs),
        *_apart(results.apart),
        *_rows(figures.rows),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Drills</title><style>{STYLE}</style></head><body><main>"
        + "\n".join(body)
        + "</main></body></html>\n"
    )


def _head(results: Results, figures: Figures) -> Iterator[str]:
    good, bad = _counted([*results.drills, *results.pairs])
    apart = sum(not one.passed for one in results.apart)
    wrong = bad + apart + len(results.errors)
    kind, word = ("good", "All as it has to be") if results.passed else ("bad", "Not all is well")
    yield "<h1>Drills</h1>"
    yield (
        f'<div class="verdict {kind}"><b>{word}</b><span>{good + len(results.apart) - apart} '
        f"passed, {wrong} did not; {sum(one.as_expected for one in results.controls)} of "
        f"{len(results.controls)} controls turned red, as they have to.</span></div>"
    )
    if results.ended_at is None:
        yield '<p class="soft">It goes on, or was cut: what is here is what there was.</p>'
    facts = {
        "availability in faults": f"{figures.failed:,} of {figures.requests:,} failed; at least "
        f"{figures.availability_lower_95:.4%} (95 %, one-sided, as if attempts were independent)",
        "in void runs": f"{figures.void_failed:,} of {figures.void_requests:,} failed, in no bound",
        "of drills": f"{figures.drills} counted; at least {figures.drills_lower_95:.1%} without "
        "any failure (the same bound, a drill as one draw)",
        "run": f"{results.begun_at} to {results.ended_at or 'now'}, seed {results.seed}",
        "commit": results.commit or "unknown",
        "machine": ", ".join(f"{key} {value}" for key, value in results.machine.items()),
        "versions": ", ".join(f"{key} {value}" for key, value in results.versions.items()),
    }
    yield "<dl>" + "".join(_fact(key, value) for key, value in facts.items()) + "</dl>"
    for commit, names in results.again.items():
        yield f"<p>Run again at commit {escape(commit)}: {escape(', '.join(names))}.</p>"
    for one in results.outdated:
        was = f"{one.result.failed:,} of {one.result.requests:,} failed"
        why = escape("; ".join(one.result.problems))
        yield f"<p>{escape(one.name)} before: {was} ({why}).</p>"
    for name, why in results.errors.items():
        yield f'<p><span class="mark failed">not run</span> {escape(name)}: {escape(why)}</p>'


def _matrix(rows: Iterable[RowState]) -> Iterator[str]:
    yield "<h2>The fault matrix</h2>"
    tiles = []
    for one in rows:
        row = one.covered.row
        title = escape(f"{row.fault}: {row.expected}", quote=True)
        tiles.append(
            f'<a class="{one.state}" href="#row-{row.row}" title="{title}">{row.row}'
            f"<small>{WORDS[one.state]}</small></a>"
        )
    yield f'<div class="matrix">{"".join(tiles)}</div>'


def _controls(controls: Iterable[Told]) -> Iterator[str]:
    yield "<h2>Negative controls</h2>"
    yield "<p>Each takes out what a drill is about; that has to turn red, or shows nothing.</p>"
    body = []
    for one in controls:
        turned = mark("passed", "red") if one.as_expected else mark("failed", "not red")
        why = escape("; ".join(one.result.problems)) or "nothing was wrong"
        body.append(
            f"<tr><td>{escape(one.control or '')}</td><td>{escape(one.drill.name)}</td>"
            f"<td>{turned}</td><td>{why}</td></tr>"
        )
    yield _table(("taken out", "drill", "it turned", "because"), body)


def _budget(figures: Figures) -> Iterator[str]:
    within = figures.unavailability <= ALLOWED
    verdict = mark("passed" if within else "failed", "within" if within else "above")
    yield "<h2>Budget of unavailability</h2>"
    yield (
        f"<p><b>U = {figures.unavailability:.2e}</b> {verdict} 1e-4: the sum over all rows of the "
        "assumed rate, the assumed duration and one less the lower bound of the availability "
        "meanwhile. A row without a bound counts as no availability at all. Rates and durations "
        "are assumptions; a laboratory shows what happens in a fault, not how often faults "
        "come.</p>"
    )
    body = [
        f"<tr><td class=n>{one.row.row}</td><td>{escape(one.row.fault)}</td>"
        f"<td class=n>{one.row.rate_per_year:g}</td><td class=n>{one.row.lasts_s:g} s</td>"
        f"<td class=n>{'none' if one.bound is None else f'{one.bound:.4%}'}</td>"
        f"<td class=n>{one.unavailability:.1e}</td></tr>"
        for one in figures.budget
    ]
    heads = ("row", "fault", "a year", "lasts", "lower bound", "costs")
    yield (
        '<details><summary><span class="what">What each row costs, at which rates</span>'
        f"</summary><div>{_table(heads, body)}</div></details>"
    )


def _drills(title: str, anchor: str, drills: list[Told]) -> Iterator[str]:
    if not drills:
        return
    yield f'<h2 id="{anchor}">{title}</h2>'
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{name}</span>'
        for name, colour in COLOURS.items()
    )
    yield (
        f'<div class="legend">{legend}<span>shaded: the fault is there; below: p50 dark, p99 '
        "grey, on a scale of powers of ten</span></div>"
    )
    for one in sorted(drills, key=lambda one: (one.as_expected, one.drill.rows)):
        yield drill_section(one)


def _apart(apart: list[Apart]) -> Iterator[str]:
    if not apart:
        return
    yield "<h2>Drills with figures of their own</h2>"
    body = []
    for one in apart:
        said = ", ".join(
            f"{key} {value}"
            for key, value in one.found.items()
            if key != "passed" and not isinstance(value, list | dict)
        )
        state = mark("passed" if one.passed else "failed", "passed" if one.passed else "failed")
        body.append(
            f"<tr><td><b>{escape(one.name)}</b><br>{escape(one.title)}</td><td>{state}</td>"
            f"<td>{escape(said)}</td></tr>"
        )
    yield _table(("drill", "", "found"), body)


def _rows(rows: Iterable[RowState]) -> Iterator[str]:
    yield "<h2>Row by row</h2>"
    body = []
    for one in rows:
        row = one.covered.row
        by = [*one.covered.drills, *row.apart, *row.tests]
        said = ", ".join(escape(name) for name in by) or escape(row.reason)
        body.append(
            f'<tr id="row-{row.row}"><td class=n>{row.row}</td><td>{escape(row.fault)}</td>'
            f"<td>{escape(row.expected)}</td><td>{mark(one.state, WORDS[one.state])}</td>"
            f"<td>{said}</td></tr>"
        )
    yield _table(("row", "fault", "expected", "", "drilled by"), body)


def _counted(drills: Iterable[Told]) -> tuple[int, int]:
    found = [one.as_expected for one in drills]
    return sum(found), len(found) - sum(found)


def _fact(key: str, value: str) -> str:
    return f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>"


def _table(heads: Iterable[str], body: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'
