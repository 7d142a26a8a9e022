"""The picture of learning: what posts have earned together, each seed a line. SVG, light and dark."""

from collections.abc import Sequence

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 110, 34, 34
TITLE = "Likes and replies earned by so many posts, before six audiences with a hidden taste"
STYLE = """
.learning { --paper: #ffffff; --ink: #1f2328; --dim: #59636e; --line: #d1d9e0; --learned: #0969da; --random: #b35900; }
@media (prefers-color-scheme: dark) {
.learning { --paper: #0d1117; --ink: #e6edf3; --dim: #9198a1; --line: #3d444d; --learned: #79c0ff; --random: #e3a33e; }
}
.learning text { font: 12px system-ui, sans-serif; fill: var(--dim); }
.learning .title { font-weight: 600; fill: var(--ink); }
.learning .end { text-anchor: end; }
.learning .middle { text-anchor: middle; }
.learning .paper { fill: var(--paper); }
.learning .grid { stroke: var(--line); }
.learning .path { fill: none; stroke-width: 1.5; stroke-opacity: 0.8; }
"""  # noqa: E501 - a colour is not wrapped


def draw(learned: Sequence[Sequence[float]], chance: Sequence[Sequence[float]]) -> str:
    top = 1.05 * max(path[-1] for path in (*learned, *chance))
    posts, bottom, right = len(learned[0]), HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<text class="title" x="{LEFT}" y="16">{TITLE}</text>']
    for part in range(5):
        y, x = bottom - (bottom - TOP) * part / 4, LEFT + (right - LEFT) * part / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{y + 4:.1f}">{top * part / 4:,.0f}</text>')
        parts.append(f'<text class="middle" x="{x:.1f}" y="{bottom + 18}">{posts * part // 4}</text>')
    for name, paths in (("random", chance), ("learned", learned)):
        for path in paths:
            steps = [
                (LEFT + (right - LEFT) * (n + 1) / posts, sum_) for n, sum_ in enumerate(path) if n % 5 == 4
            ]
            points = " ".join(f"{x:.1f},{bottom - (bottom - TOP) * sum_ / top:.1f}" for x, sum_ in steps)
            parts.append(f'<polyline class="path" style="stroke: var(--{name})" points="{points}"/>')
        y = bottom - (bottom - TOP) * sum(path[-1] for path in paths) / len(paths) / top
        parts.append(f'<text style="fill: var(--{name})" x="{right + 8}" y="{y:.1f}">{name}</text>')
    return (
        f'<svg class="learning" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{TITLE}">\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
