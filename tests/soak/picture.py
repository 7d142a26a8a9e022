"""The picture of a soak: memory by part, one upon the other, over the shown days. SVG, light and dark."""

import math
from collections.abc import Sequence
from html import escape

from tests.soak.samples import PARTS, Sample

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 100, 34, 34
STYLE = """
.soak { --paper: #ffffff; --ink: #1f2328; --dim: #59636e; --line: #d1d9e0;
  --daemon: #cf222e; --driver: #b35900; --browser: #0969da; --renderers: #8250df; --database: #1a7f37; }
@media (prefers-color-scheme: dark) {
.soak { --paper: #0d1117; --ink: #e6edf3; --dim: #9198a1; --line: #3d444d;
  --daemon: #ff7b72; --driver: #e3a33e; --browser: #79c0ff; --renderers: #d2a8ff; --database: #56d364; }
}
.soak text { font: 12px system-ui, sans-serif; fill: var(--dim); }
.soak .title { font-weight: 600; fill: var(--ink); }
.soak .end { text-anchor: end; }
.soak .middle { text-anchor: middle; }
.soak .paper { fill: var(--paper); }
.soak .grid { stroke: var(--line); }
.soak .area { fill-opacity: 0.75; stroke-width: 0.5; }
"""


def draw(samples: Sequence[Sample], speed: float) -> str:
    """`speed`: shown seconds for each real one."""
    last, top = samples[-1].minute, 1.1 * max(sample.total_mb for sample in samples)
    days, bottom = last * speed / 1440, HEIGHT - BOTTOM
    title = f"Memory by part over {days:.2g} days, passed in {last:.0f} minutes (private pages)"

    def at(minute: float, size_mb: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * minute / last
        return f"{x:.1f},{bottom - (bottom - TOP) * size_mb / top:.1f}"

    parts = [_text(LEFT, 16, title, "title")]
    for mark in _marks(top):
        y = bottom - (bottom - TOP) * mark / top
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{mark:g} MB", "end"))
    for mark in _marks(days):
        x = LEFT + (WIDTH - LEFT - RIGHT) * mark / days
        parts.append(_text(x, bottom + 18, f"day {mark:g}", "middle"))
    below = [0.0] * len(samples)
    for number, part in enumerate(PARTS):
        above = [low + sample.memory_mb[part] for low, sample in zip(below, samples, strict=True)]
        points = [at(sample.minute, size) for sample, size in zip(samples, above, strict=True)]
        back = [at(sample.minute, size) for sample, size in zip(samples, below, strict=True)]
        style = f"fill: var(--{part}); stroke: var(--{part})"
        parts.append(f'<polygon class="area" style="{style}" points="{" ".join(points + back[::-1])}"/>')
        x, y = WIDTH - RIGHT + 12, bottom - 8 - 20 * number
        parts.append(f'<rect class="area" style="{style}" x="{x}" y="{y - 9}" width="10" height="10"/>')
        parts.append(_text(x + 15, y, part, "key"))
        below = above
    return (
        f'<svg class="soak" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _marks(top: float) -> list[float]:
    """Round figures from 0 to `top`, seven at most."""
    magnitude = 10 ** math.floor(math.log10(top))
    step = next(magnitude * part for part in (0.2, 0.5, 1, 2) if top / (magnitude * part) <= 7)
    return [round(step * n, 6) for n in range(math.floor(top / step + 1e-9) + 1)]


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
