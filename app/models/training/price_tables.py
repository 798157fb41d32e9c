"""A price list for people: tables on a terminal, and sections of a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Column, Table

from app.models.training.price_list import COMPARED, Priced, PriceList, RungPrice
from app.models.training.prices import PRICES

__all__ = ["print_price_list", "sections"]

_SHARES = frozenset(COMPARED) - frozenset(PRICES[1:])
_PAGE = ("average_precision", *PRICES[:3])
_HEADERS = {
    "average_precision": "average precision",
    "recall": "fraud caught",
    "fraud_let_through_per_million": "fraud let through",
    "good_stopped_per_million": "good stopped",
    "cost_per_million": "cost",
}
_CAUGHT = {"recall": "by the rung's actions", "recall_at_precision_20": "at precision 20 %"}
_APPROVE_ALL = "approve all"


def sections(of: PriceList) -> dict[str, str]:
    """Sections of a page by name, Markdown.

    `prices` has the rungs with all data side by side, `patterns` what part of each pattern of
    fraud is caught.
    """
    return {"prices": "\n".join(_prices(of)), "patterns": "\n\n".join(_caught(of))}


def print_price_list(of: PriceList) -> None:
    """Print all figures with their intervals."""
    console = Console()
    for one in of.priced:
        console.print(_told(one))
        table = Table(
            Column("rung", no_wrap=True), *(_HEADERS[name] for name in (_PAGE[0], *PRICES))
        )
        for rung, price in (one.rungs | one.ablated).items():
            table.add_row(rung, *(_with_bounds(price, name) for name in (_PAGE[0], *PRICES)))
        nothing = (_shown(name, one.approve_all[name]) for name in PRICES)
        table.add_row(f"[dim]{_APPROVE_ALL}", "-", *nothing)
        console.print(table)
        for figure, how in _CAUGHT.items():
            head, rows = _patterns(one, figure)
            if rows:
                caught = Table(
                    Column(head[0], no_wrap=True),
                    *head[1:],
                    title=f"fraud caught {how}, by pattern",
                )
                for row in rows:
                    caught.add_row(*row)
                console.print(caught)


def _prices(of: PriceList) -> Iterator[str]:
    head = ["rung"]
    for one in of.priced:
        first, *others = (_HEADERS[name] for name in _PAGE)
        head += [f"{one.data}: {first}", *others]
    yield from _markdown(head, _rung_rows(of))
    yield ""
    for one in of.priced:
        yield f"- {_told(one)}"
    yield (
        "- Let through and stopped are per million of value attempted, by the shipped policy: a "
        f"challenge lets part of either pass. Measured {of.measured_on}."
    )


def _caught(of: PriceList) -> Iterator[str]:
    for one in of.priced:
        for figure, how in _CAUGHT.items():
            head, rows = _patterns(one, figure)
            if rows:
                yield f"Fraud caught {how}, {one.data}:"
                yield "\n".join(_markdown(head, rows))


def _rung_rows(of: PriceList) -> Iterator[Sequence[str]]:
    for rung in of.priced[0].rungs:
        cells = [f"`{rung}`"]
        for one in of.priced:
            cells += [_shown(name, one.rungs[rung].figures[name]) for name in _PAGE]
        yield cells
    cells = [_APPROVE_ALL]
    for one in of.priced:
        cells += ["-", *(_shown(name, one.approve_all[name]) for name in PRICES[:3])]
    yield cells


def _patterns(one: Priced, figure: str) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Head and rows: each pattern's recall, by rung and by model without some inputs."""
    highest, *lower = one.rungs
    lacking = {
        f"`{highest}`{name.removeprefix(highest)}".replace("_", " "): of
        for name, of in one.ablated.items()
    }
    by_name = {
        f"`{highest}`": one.rungs[highest],
        **lacking,
        **{f"`{name}`": one.rungs[name] for name in lower},
    }
    known = one.rungs[highest].patterns
    rows: list[Sequence[str]] = [
        (
            name.replace("_", " "),
            f"{part['fraud']:,.0f}",
            *(_shown(figure, of.patterns[name][figure]) for of in by_name.values()),
        )
        for name, part in known.items()
    ]
    return ("pattern", "attempts", *by_name), rows


def _told(one: Priced) -> str:
    facts = one.facts
    protocol = f", {facts['protocol']} protocol" if "protocol" in facts else ""
    return (
        f"{one.data.capitalize()}{protocol}: trained on {facts['train_from']} to "
        f"{facts['train_to']} with the labels known by {facts['test_from']}, tested from then to "
        f"{facts['test_to']} on {facts['test_attempts']:,} attempts, {facts['test_fraud']:,} of "
        f"them fraud; {facts['trees']} trees, seeds {facts['seeds']}."
    )


def _with_bounds(price: RungPrice, name: str) -> str:
    low, high = price.intervals[name]
    value, *bounds = (_shown(name, of) for of in (price.figures[name], low, high))
    return f"{value} [dim]({' to '.join(bounds)})[/]"


def _shown(name: str, value: float) -> str:
    if name in _SHARES or name in _CAUGHT:
        return f"{value:.3f}".removeprefix("0") if value < 1 else "1.000"
    return f"{value:,.0f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
