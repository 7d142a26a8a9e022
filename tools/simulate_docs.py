"""Writes the figures and pictures of docs/simulate.md: `python -m tools.simulate_docs`, about a minute."""

import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.settings import AllocatorSettings
from orchestrator.simulate import chart, sheets
from orchestrator.simulate.engine import Options, Policy, simulate
from orchestrator.simulate.figures import Figures, figures_of, total_depth
from orchestrator.simulate.load import read_load

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "simulate.md"
WAITS, QUEUES = DOCS / "images" / "simulate-waits.svg", DOCS / "images" / "simulate-queues.svg"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SHOWN = (
    ("68 jobs, first come, first served", "system-a", Policy.FIFO, 3),
    ("the same 68 jobs, this allocator", "system-a", Policy.PRIORITY, 3),
    ("the same work in 26 jobs, this allocator", "ours", Policy.PRIORITY, 3),
    ("these 26 jobs with a fourth context", "ours", Policy.PRIORITY, 4),
)
"""What is compared: title, load, policy, contexts."""


def compare(days: float) -> list[tuple[str, Figures]]:
    """Each simulation under its title."""
    listed = []
    for title, name, policy, contexts in SHOWN:
        load, options = read_load(name), Options(days, AllocatorSettings(capacity=contexts), policy)
        listed.append((title, figures_of(load, options, simulate(load, options))))
    return listed


def results(listed: Sequence[tuple[str, Figures]]) -> str:
    """The part of the page that is made."""
    lanes = sheets.lanes(listed[0][1]).columns
    lines = [_row(["", *lanes]), _row(["---"] * (1 + len(lanes)))]
    for title, figures in listed:
        for number, row in enumerate(sheets.lanes(figures).rows):
            lines.append(_row(["" if number else f"**{title}**", *row]))
    lines += [
        "",
        _row(["", "runs late", "runs missed", "contexts in use", "wait in the mean", "wait at most"]),
    ]
    lines.append(_row(["---"] * 6))
    for title, figures in listed:
        use = f"{figures.use:.1%}".replace("%", " %")
        whole = [figures.late, figures.missed, use, f"{figures.mean_depth:.2f}", figures.deepest]
        lines.append(_row([f"**{title}**", *map(str, whole)]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def queues(listed: Sequence[tuple[str, Figures]]) -> str:
    """The queues over time, one under the other, on one scale."""
    top = max(max(total_depth(figures)) for _, figures in listed)
    pictures = [chart.depth_chart(figures, title, top) for title, figures in listed]
    height = float(re.findall(rf'viewBox="0 0 {chart.WIDTH} (\S+)"', pictures[0])[0])
    placed = [
        picture.replace(
            "<svg ", f'<svg y="{number * height:g}" width="{chart.WIDTH}" height="{height:g}" ', 1
        )
        for number, picture in enumerate(pictures)
    ]
    whole = f'viewBox="0 0 {chart.WIDTH} {len(placed) * height:g}" role="img" aria-label="Queues over time"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {whole}>\n{"".join(placed)}</svg>\n'


def write() -> None:
    listed = compare(7)
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{results(listed)}\n\n{END}{after}", "utf-8")
    WAITS.parent.mkdir(exist_ok=True)
    WAITS.write_text(chart.waits_chart(listed), "utf-8")
    QUEUES.write_text(queues(listed), "utf-8")


if __name__ == "__main__":
    write()
    print(f"{PAGE.name} is up to date")
