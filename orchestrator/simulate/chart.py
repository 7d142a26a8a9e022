"""Pictures of a simulation as SVG: self-contained, for light and dark, without a library.

There are three of them, of lines, areas and dots; what plotting libraries bring for that (numpy, or
scripts of megabytes, or pictures in one colour scheme) is more than the two hundred lines that they save.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from orchestrator.simulate.figures import Figures, LaneFigures, total_depth
from orchestrator.simulate.words import share, wait

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 96, 84, 34, 34
"""Margins around a plot."""
ROW = 24
TICKS_S = {0: "0", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36_000: "10 h"}

STYLE = """
.sim { --paper: #ffffff; --ink: #1f2328; --dim: #59636e; --line: #d1d9e0;
  --critical: #cf222e; --high: #b35900; --background: #0969da; }
@media (prefers-color-scheme: dark) {
.sim { --paper: #0d1117; --ink: #e6edf3; --dim: #9198a1; --line: #3d444d;
  --critical: #ff7b72; --high: #e3a33e; --background: #79c0ff; }
}
.sim text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.sim .title { font-weight: 600; }
.sim .dim { fill: var(--dim); }
.sim .end { text-anchor: end; }
.sim .middle { text-anchor: middle; }
.sim .paper { fill: var(--paper); }
.sim .grid { stroke: var(--line); stroke-width: 1; }
.sim .promise { stroke: var(--critical); stroke-width: 1; stroke-dasharray: 4 3; }
.sim .critical { --c: var(--critical); }
.sim .high { --c: var(--high); }
.sim .background { --c: var(--background); }
.sim .area { fill: var(--c); fill-opacity: 0.75; stroke: var(--c); stroke-width: 0.5; }
.sim .thin { stroke: var(--c); stroke-width: 1.5; }
.sim .thick { stroke: var(--c); stroke-width: 6; stroke-opacity: 0.35; stroke-linecap: round; }
.sim .dot { fill: var(--c); }
.sim .ring { fill: var(--paper); stroke: var(--c); stroke-width: 2; }
"""


def waits_chart(listed: Sequence[tuple[str, Figures]]) -> str:
    """Waits of each lane, of several simulations under their titles, on a scale from seconds to hours."""
    longest = max(lane.waits.max_s for _, figures in listed for lane in figures.lanes)
    ticks = _ticks(longest)
    height = TOP + sum(ROW * (1 + len(figures.lanes)) for _, figures in listed) + BOTTOM
    bottom = height - BOTTOM
    parts = [_text(LEFT, 16, "Waits for a context: dots p50, p95, p99; ring: longest", "title")]
    for tick_s in ticks:
        x = _log_x(tick_s, ticks[-1])
        parts += [_line(x, TOP, x, bottom, "grid"), _text(x, bottom + 18, TICKS_S[tick_s], "dim middle")]
    promise_s = listed[0][1].critical_wait_s
    if promise_s <= ticks[-1]:
        x = _log_x(promise_s, ticks[-1])
        parts += [_line(x, TOP, x, bottom, "promise"), _text(x + 4, TOP + 8, "critical at most", "dim")]
    y = TOP
    for title, figures in listed:
        y += ROW
        parts.append(_text(LEFT + 4, y - 7, title, "title"))
        for lane in figures.lanes:
            y += ROW
            parts += _wait_row(lane, y - ROW / 2, ticks[-1])
    return _svg(height, "Waits for a context by lane", parts)


def depth_chart(figures: Figures, title: str = "Queue", top: float = 0.0) -> str:
    """How many wait, over time, lane upon lane; `top` is the least that the scale reaches."""
    rows = [curve.depth for curve in figures.curves]
    highest = max(top, *total_depth(figures), 1.0)
    marks = {value: f"{value:g}" for value in _steps(highest)}
    said = f"{title}: how many wait, mean of each {_bucket(figures)}"
    return _areas(figures, rows, max(highest, *marks), marks, said)


def use_chart(figures: Figures) -> str:
    """What share of all contexts each lane holds, over time."""
    rows = [curve.use for curve in figures.curves]
    marks = {value: share(value) for value in (0.0, 0.25, 0.5, 0.75, 1.0)}
    return _areas(figures, rows, 1.0, marks, f"Use of the contexts: mean of each {_bucket(figures)}")


# ── waits ───────────────────────────────────────────────────────────────────────────────────────


def _wait_row(lane: LaneFigures, y: float, end_s: float) -> list[str]:
    waits = lane.waits
    label = _text(LEFT - 8, y + 4, lane.lane, "end")
    if not waits.count:
        return [label, _text(LEFT + 4, y + 4, "no request", "dim")]
    p50, p95, p99, longest = (
        _log_x(wait_s, end_s) for wait_s in (waits.p50_s, waits.p95_s, waits.p99_s, waits.max_s)
    )
    said = (
        f"{lane.lane}: {waits.count} requests, p50 {wait(waits.p50_s)}, p95 {wait(waits.p95_s)}, "
        f"p99 {wait(waits.p99_s)}, longest {wait(waits.max_s)}"
    )
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x in (p50, p95, p99))
    return [
        label,
        f'<g class="{lane.lane}"><title>{escape(said)}</title>',
        _line(p50, y, longest, y, "thin"),
        _line(p50, y, p95, y, "thick"),
        dots,
        f'<circle class="ring" cx="{longest:.1f}" cy="{y:.1f}" r="4"/></g>',
        _text(WIDTH - RIGHT + 10, y + 4, wait(waits.max_s), "dim"),
    ]


def _log_x(seconds: float, end_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log1p(seconds) / math.log1p(end_s)


def _ticks(longest_s: float) -> list[int]:
    """The marks up to the first beyond the longest wait, ten minutes at least."""
    listed = list(TICKS_S)
    beyond = next((n for n, tick_s in enumerate(listed) if tick_s >= max(600, longest_s)), len(listed) - 1)
    return listed[: beyond + 1]


# ── over time ───────────────────────────────────────────────────────────────────────────────────


def _areas(
    figures: Figures, rows: Sequence[Sequence[float]], top: float, marks: dict[float, str], title: str
) -> str:
    height = TOP + 150 + BOTTOM
    bottom = height - BOTTOM

    def at(column: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * column / (len(rows[0]) - 1)
        return f"{x:.1f},{bottom - (bottom - TOP) * value / top:.1f}"

    parts = [_text(LEFT, 16, title, "title")]
    for value, label in marks.items():
        y = bottom - (bottom - TOP) * value / top
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, "grid"), _text(LEFT - 8, y + 4, label, "dim end")]
    below = [0.0] * len(rows[0])
    for number, (curve, row) in enumerate(zip(figures.curves, rows, strict=True)):
        above = [low + more for low, more in zip(below, row, strict=True)]
        points = [at(n, value) for n, value in enumerate(above)]
        points += [at(n, value) for n, value in reversed(list(enumerate(below)))]
        parts.append(f'<polygon class="area {curve.lane}" points="{" ".join(points)}"/>')
        parts += _key(curve.lane, WIDTH - RIGHT + 10, bottom - 8 - 20 * number)
        below = above
    for day in _steps(figures.days):
        x = LEFT + (WIDTH - LEFT - RIGHT) * day / figures.days
        parts.append(_text(x, bottom + 18, f"day {day:g}", "dim middle"))
    return _svg(height, title, parts)


def _key(lane: str, x: float, y: float) -> list[str]:
    return [
        f'<rect class="area {lane}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10"/>',
        _text(x + 14, y, {"background": "backgr."}.get(lane, lane), "dim"),
    ]


def _steps(top: float) -> list[float]:
    """Round marks from 0 to `top`, seven at most."""
    magnitude = 10 ** math.floor(math.log10(top))
    step = next(magnitude * part for part in (0.2, 0.5, 1, 2) if top / (magnitude * part) <= 7)
    return [step * n for n in range(math.floor(top / step + 1e-9) + 1)]


def _bucket(figures: Figures) -> str:
    hours = 24 * figures.days / len(figures.curves[0].depth)
    return "hour" if abs(hours - 1) < 1e-9 else f"{60 * hours:.3g} min"


# ── elements ────────────────────────────────────────────────────────────────────────────────────


def _svg(height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="sim" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(label)}">\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height:g}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
