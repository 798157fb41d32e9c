"""The section `hot` of a page, from the results of the benches that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

import msgspec

from chaos.bench.deadlines import Asked
from chaos.bench.generator import NO_ANSWER, PATIENCE_S
from chaos.bench.hot import Row, times
from chaos.bench.measured import read_result
from chaos.bench.overload import Part

__all__ = ["HotResults", "load_results", "section"]

Cells = Sequence[str | float | None]
ABSENT = "-"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another server with the model; without figures where it could not be had."""

    name: str
    missing: str | None = None
    cpu_us: float | None = None
    decisions_per_core_second: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    open_rate: float | None = None


class Hot(msgspec.Struct, frozen=True, kw_only=True):
    """A result of `bench hot`."""

    measured_on: date
    rows: list[Row]
    peers: list[Peer]
    floor_cpu_us: float
    seconds: float
    rounds: int
    connections: int


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """A result of `bench overload`."""

    measured_on: date
    saturation: float
    requests: int
    errors: dict[str, int]
    in_time: float
    parts: list[Part]
    full_again_s: float | None
    void: bool


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """A result of `bench deadlines`."""

    measured_on: date
    rate: float
    rows: list[Asked]


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """A result of `bench soak`."""

    measured_on: date
    requests: int
    failures: dict[str, int]
    rss_mb_per_100000: float
    rss_mb: tuple[float, float]
    descriptors: tuple[int, int]


class HotResults(msgspec.Struct, frozen=True, kw_only=True):
    """What the section is made of.

    Attributes:
        hot: rows, floor and peers.
        calm: the rows that were measured for longer, for their latency.
        overload: three times saturation, and back.
        deadlines: by what callers asked for.
        soak: many requests.
    """

    hot: Hot
    calm: Hot
    overload: Overload
    deadlines: Deadlines
    soak: Soaked


def load_results(folder: Path) -> HotResults:
    """Read the kept results.

    Raises:
        OperatorError: one is missing, or is another thing.
    """
    return HotResults(
        hot=read_result(folder / "bench-hot.json", Hot, "hot --all --peers"),
        calm=read_result(folder / "bench-calm.json", Hot, "hot"),
        overload=read_result(folder / "bench-overload.json", Overload, "overload"),
        deadlines=read_result(folder / "bench-deadlines.json", Deadlines, "deadlines"),
        soak=read_result(folder / "bench-soak.json", Soaked, "soak"),
    )


def section(of: HotResults) -> str:
    """The section, Markdown: tables, and below them what else was measured."""
    hot, calm, deadlines = of.hot, of.calm, of.deadlines
    saturated = (
        f"Saturated by {hot.connections} connections, {hot.rounds} rounds of {hot.seconds:g} s"
        f" ({hot.measured_on}); the floor of `{hot.rows[0].name}` is {hot.floor_cpu_us:g} us."
        " In each round a row is followed by its floor and the peers, so that what is compared is"
        " of the same minute; `x` is how many floors a decision costs, and how many a core makes"
        " for one of the peer's, which has the model of `full` alone: median (least to most):"
    )
    half = f"At half of that rate, open loop, {calm.seconds:g} s a row ({calm.measured_on}):"
    asked = f"Callers that ask for less time, {deadlines.rate:g}/s ({deadlines.measured_on}):"
    parts = [
        [saturated],
        _table(
            ("row", "CPU us", "a core and second", "x floor", *(f"x {one}" for one in _names(hot))),
            _cpu_rows(hot),
        ),
        [half],
        _table(("row", "attempts/s", "p50 ms", "p99 ms", "p99.9 ms"), _latency_rows(hot, calm)),
        [asked],
        _table(("deadline ms", "requests", "failed", "in time", "rungs"), _deadline_rows(of)),
        [f"- {said}" for said in _said(of)],
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def _cpu_rows(hot: Hot) -> Iterator[Cells]:
    names = _names(hot)
    for row in hot.rows:
        void = any(not why.startswith("latency") for why in row.void)
        name = f"{row.name}, void" if void else row.name
        ratios = [times(row.peer_ratios[peer]) for peer in names]
        yield name, row.cpu_us, row.decisions_per_core_second, times(row.floor_ratios), *ratios
    for peer in _there(hot):
        name = f"{peer.name}, the model alone"
        nothing = [None] * (1 + len(names))
        yield name, peer.cpu_us, peer.decisions_per_core_second, *nothing


def _names(hot: Hot) -> list[str]:
    """Peers that the rows are held against."""
    return [peer.name for peer in _there(hot)]


def _latency_rows(hot: Hot, calm: Hot) -> Iterator[Cells]:
    for row in calm.rows:
        yield row.name, row.open_rate, row.p50_ms, row.p99_ms, row.p999_ms
    for peer in _there(hot):
        name = f"{peer.name}, the model alone, {hot.seconds:g} s"
        yield name, peer.open_rate, peer.p50_ms, peer.p99_ms, peer.p999_ms


def _deadline_rows(of: HotResults) -> Iterator[Cells]:
    for row in of.deadlines.rows:
        in_time = "void" if row.void else f"{row.in_time:.2%}"
        yield row.deadline_ms, row.requests, row.failed, in_time, _shares(row.rungs)


def _there(hot: Hot) -> list[Peer]:
    return [peer for peer in hot.peers if peer.missing is None]


def _said(of: HotResults) -> Iterator[str]:
    overload, soak = of.overload, of.soak
    again = "never" if overload.full_again_s is None else f"after {overload.full_again_s:g} s"
    to = " to ".join(f"{part.rate:,.0f}/s" for part in overload.parts)
    in_time = ", ".join(f"{part.in_time:.2%} ({part.name})" for part in overload.parts)
    void = ", VOID: the generator was late itself" if overload.void else ""
    hung_up = overload.errors.get(NO_ANSWER, 0)
    errors = sum(overload.errors.values()) - hung_up
    yield (
        f"Overload ({overload.measured_on}): {to}; saturation {overload.saturation:,.0f}/s."
        f" {overload.requests:,} attempts, {errors} errors, {hung_up:,} hung up after"
        f" {PATIENCE_S:g} s without an answer; within 100 ms"
        f" {in_time}; full again {again}{void}."
    )
    yield (
        f"{soak.requests:,} attempts ({soak.measured_on}): {sum(soak.failures.values())} failed;"
        f" memory {soak.rss_mb[0]:.0f} to {soak.rss_mb[1]:.0f} MB after the warm-up,"
        f" {soak.rss_mb_per_100000:+.1f} MB in 100,000; descriptors {soak.descriptors[0]} to"
        f" {soak.descriptors[1]}."
    )
    for one in of.hot.peers:
        if one.missing is not None:
            yield f"{one.name} is missing: {one.missing}"


def _shares(rungs: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in rungs.items() if share)


def _table(head: Sequence[str], rows: Iterable[Cells]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    for row in rows:
        yield _line([_cell(value) for value in row])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    match value:
        case None:
            return ABSENT
        case float() if value < 1_000:
            return f"{value:.4g}"
        case int() | float():
            return f"{value:,.0f}"
        case _:
            return str(value)
