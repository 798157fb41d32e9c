"""One episode as SVG: who answered, how late, and where the fault began and ended. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from chaos.engine.course import FAILED, Course

__all__ = ["COLOURS", "timeline"]

# Told apart by colour-blind eyes, too; what failed is the only red.
COLOURS = {
    "full": "#2b8a6b",
    "batch": "#4c8fd6",
    "rules": "#e3a93c",
    "tier_default": "#9b6bb3",
    FAILED: "#d1242f",
}
WIDTH, LEFT, RIGHT = 860, 60, 8
TOP, TALL, GAP = 22, 96, 26
HEIGHT = TOP + 2 * TALL + GAP + 24
LOWER = TOP + TALL + GAP
# Of the scale of latencies, ms.
LEAST_MS, MOST_MS = 1.0, 10_000.0
LABELS_MAX = 12


def timeline(course: Course, *, limit_ms: float) -> str:
    """The picture; it scales with what it stands in.

    Args:
        course: of the episode.
        limit_ms: deadline of an answer, drawn into the latencies.
    """
    seconds = len(course.p50_ms)
    if not seconds:
        return ""
    drawn = [
        *_fault(course, seconds),
        *_bars(course, seconds),
        *_scale(limit_ms),
        _line(course.p99_ms, seconds, "p99"),
        _line(course.p50_ms, seconds, "p50"),
        *_instants(course, seconds),
        *_seconds(seconds),
    ]
    said = f"answers by rung and latency over {seconds} seconds"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
        + "".join(drawn)
        + "</svg>"
    )


def _x(at_s: float, seconds: int) -> float:
    return LEFT + min(at_s, seconds) * (WIDTH - LEFT - RIGHT) / seconds


def _y(ms: float) -> float:
    share = math.log10(min(max(ms, LEAST_MS), MOST_MS) / LEAST_MS) / math.log10(MOST_MS / LEAST_MS)
    return LOWER + TALL * (1 - share)


def _fault(course: Course, seconds: int) -> Iterator[str]:
    x, end = _x(course.inject_s, seconds), _x(course.remove_s, seconds)
    yield _box(x, TOP, end - x, TALL, "fault")
    yield _box(x, LOWER, end - x, TALL, "fault")


def _bars(course: Course, seconds: int) -> Iterator[str]:
    """Answers of each second, stacked: the best rung at the bottom."""
    totals = [sum(second) for second in zip(*course.answers.values(), strict=True)]
    scale = TALL / max(*totals, 1)
    order = [*(name for name in COLOURS if name in course.answers)]
    order += [name for name in course.answers if name not in COLOURS]
    wide = (WIDTH - LEFT - RIGHT) / seconds
    for second in range(seconds):
        y = float(TOP + TALL)
        for name in order:
            tall = course.answers[name][second] * scale
            y -= tall
            if tall:
                x = LEFT + second * wide
                colour = COLOURS.get(name, "#6b7280")
                title = f"<title>{second} s: {course.answers[name][second]} {escape(name)}</title>"
                yield (
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide * 0.9:.1f}" height="{tall:.1f}"'
                    f' fill="{colour}">{title}</rect>'
                )
    yield _text(LEFT - 6, TOP + 10, f"{max(*totals, 1)}", "end")
    yield _text(LEFT - 6, TOP + TALL, "a second", "end")


def _scale(limit_ms: float) -> Iterator[str]:
    decade = LEAST_MS
    while decade <= MOST_MS:
        y = _y(decade)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        name = f"{decade:g} ms" if decade < 1_000 else f"{decade / 1_000:g} s"
        yield _text(LEFT - 6, y + 4, name, "end")
        decade *= 10
    y = _y(limit_ms)
    yield f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield _text(WIDTH - RIGHT - 2, y - 4, "deadline", "end")


def _line(latencies_ms: Sequence[float | None], seconds: int, name: str) -> str:
    points = [
        f"{_x(second + 0.5, seconds):.1f},{_y(ms):.1f}"
        for second, ms in enumerate(latencies_ms)
        if ms is not None
    ]
    return f'<polyline class="{name}" points="{" ".join(points)}"/>'


def _instants(course: Course, seconds: int) -> Iterator[str]:
    """Where the fault begins and is removed, what was away is back, and all is as before."""
    instants = {"fault": course.inject_s, "removed": course.remove_s}
    if course.normal_s is not None:
        instants["as before"] = course.normal_s
    for name, at_s in instants.items():
        x = _x(at_s, seconds)
        yield f'<line class="instant" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{LOWER + TALL}"/>'
        over = TOP - 6 if name != "as before" else LOWER - 8
        yield _text(x + (0 if x < WIDTH - 80 else -4), over, name, "start" if x < 780 else "end")


def _seconds(seconds: int) -> Iterator[str]:
    step = max(1, math.ceil(seconds / LABELS_MAX / 5) * 5)
    for second in range(0, seconds + 1, step):
        yield _text(_x(second, seconds), HEIGHT - 6, f"{second} s", "middle")


def _box(x: float, y: float, wide: float, tall: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0, wide):.1f}" height="{tall}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
