"""The cost of a traffic for people: a table on a terminal, and a section of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Column, Table

from chaos.bench.cost import Cost
from chaos.bench.cost_store import MANY
from chaos.bench.measured import Measured
from chaos.bench.prices import Nodes, Prices

__all__ = ["print_costs", "section"]


def section(
    costs: Sequence[Cost], fewer: Sequence[Cost], measured: Sequence[Measured], prices: Prices
) -> str:
    """The section `cost` of a page, Markdown: the table, and below it what it rests on.

    Args:
        costs: a column each.
        fewer: the same with fewer ids.
        measured: what they were computed from.
        prices: and assumptions.
    """
    head, *rows = _rows(costs, fewer)
    lines = [_line(head), _line(["---"] * len(head)), *map(_line, rows), ""]
    return "\n".join([*lines, *(f"- {said}" for said in _notes(costs, measured, prices))])


def print_costs(
    costs: Sequence[Cost], fewer: Sequence[Cost], measured: Sequence[Measured], prices: Prices
) -> None:
    """Print the same; see `section`."""
    console = Console()
    head, *rows = _rows(costs, fewer)
    numbers = (Column(name, justify="right") for name in head[1:])
    table = Table(Column(head[0], no_wrap=True), *numbers, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for said in _notes(costs, measured, prices):
        console.print(f"- {said}")


def _rows(costs: Sequence[Cost], fewer: Sequence[Cost]) -> Iterator[list[str]]:
    """A column for each rate and evaluator, its head first."""
    yield ["attempts/s", *(f"{one.rate:,}, {one.evaluator}" for one in costs)]
    yield ["each region, one lost", *(f"{one.region_rate:,.0f}/s" for one in costs)]
    for part in costs[0].cores:
        yield [f"cores busy: {part}", *(f"{one.cores[part]:,.1f}" for one in costs)]
    yield ["entities in a store", *(f"{one.store.ids / 1e6:,.0f} M" for one in costs)]
    yield ["memory of a store", *(f"{one.store.gib:,.0f} GiB" for one in costs)]
    for part in _region(costs[0]).hosts:
        yield [part, *(_counted(_region(one).hosts[part]) for one in costs)]
    yield ["shards of a store", *(str(one.store.shards) for one in costs)]
    yield ["datastore nodes", *(_node(_region(one)) for one in costs)]
    yield ["stream shards", *(str(_region(one).stream_shards) for one in costs)]
    yield ["replicated a month", *(f"{one.replicated_gb / 1e3:,.1f} TB" for one in costs)]
    for part in costs[0].dollars:
        yield [f"$ {part}", *(f"{one.dollars[part]:,.0f}" for one in costs)]
    yield ["$ a month", *(f"{one.total:,.0f}" for one in costs)]
    yield ["$ a month, half as many ids", *(f"{one.total:,.0f}" for one in fewer)]
    yield ["$ a million decisions", *(f"{one.per_million:.2f}" for one in costs)]


def _notes(costs: Sequence[Cost], measured: Sequence[Measured], prices: Prices) -> Iterator[str]:
    """What the table rests on, one thing each."""
    plan, sizes = prices.plan, measured[0].sizes
    yield from _limits(costs)
    for void in dict.fromkeys(void for one in measured for void in one.void):
        yield f"Void as it was measured, {void}"
    yield (
        "Down to the stream, a row is of one region that carries its share with another one lost;"
        " below, of all regions together. What is billed by use is used at a mean load of"
        f" {plan.mean_load:.0%} of the rate."
    )
    yield (
        f"List prices of {prices.month} (`terraform/prices.toml`, to be checked):"
        f" {plan.scorer_host} and {plan.applier_host} at {plan.host_use:.0%} of their vCPUs, a vCPU"
        f" worth {plan.core_share:g} of a measured core; ElastiCache at {plan.store_use:.0%} of a"
        f" core a shard and {plan.store_memory:.0%} of its memory, {plan.home_nodes} nodes a shard"
        f" where it is written and {plan.copy_nodes} in each other region; Kinesis at"
        f" {plan.stream_use:.0%}."
    )
    for one in measured:
        yield (
            f"CPU of a decision, {one.evaluator}: scorer {one.scorer_us:.0f} us, what follows the"
            f" answer on its host {one.followers_us:.0f} (the embedded stream's server among it),"
            f" stores {one.datastores_us:.0f}, applier {one.applier_us:.0f}."
        )
    yield (
        f"Bytes of a decision: {sizes.record_bytes:,.0f} journaled, {plan.history_bytes:g} in"
        f" history, {sizes.replicated_bytes:,.0f} to each region that reads the store,"
        f" {sizes.store_bytes:,.0f} to and from the stores,"
        f" {sizes.request_bytes + sizes.answer_bytes:,.0f} over HTTP; {plan.record_months:g} month"
        " of record and history is kept."
    )
    yield (
        f"A card, e-mail, device or address is used {plan.id_uses_day:g} times a day, and takes"
        f" {_memory(sizes.entity_memory)} bytes in each store; an attempt id"
        f" {sizes.claim_memory:.0f}, for {plan.claim_s:,.0f} s."
    )
    yield (
        "Not in it: SQL over history on a cluster, copies of the record in other regions, logs and"
        " metrics, NAT, DNS, support, discounts."
    )


def _limits(costs: Sequence[Cost]) -> Iterator[str]:
    """Each limit once a rate, with the evaluators that it is not the same for."""
    found: dict[tuple[int, str], list[str]] = {}
    for one in costs:
        for beyond in one.beyond:
            found.setdefault((one.rate, beyond), []).append(one.evaluator)
    every = list(dict.fromkeys(one.evaluator for one in costs))
    for (rate, beyond), evaluators in found.items():
        whose = "" if evaluators == every else f", {' and '.join(evaluators)}"
        yield f"Past its limits or head room at {rate:,}/s{whose}: {beyond}."


def _region(of: Cost) -> Nodes:
    """One region's nodes; the others have the same."""
    return next(iter(of.nodes.values()))


def _node(nodes: Nodes) -> str:
    return ", ".join(f"{count} {node}" for node, count in nodes.datastores.items())


def _counted(of: tuple[str, int]) -> str:
    host, count = of
    return f"{count} {host}"


def _memory(entities: dict[str, float]) -> str:
    return ", ".join(f"{entities[entity]:.0f} ({entity})" for entity in MANY)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
