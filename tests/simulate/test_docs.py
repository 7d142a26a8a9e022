"""The page about the simulation, and what makes its tables and pictures."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestrator.jobs import NAMES
from orchestrator.simulate import chart, load
from orchestrator.simulate.figures import Figures
from orchestrator.simulate.load import read_load
from tools.simulate_docs import BEGIN, END, PAGE, QUEUES, SHOWN, WAITS, compare, queues, results

LOAD = Path(load.__file__).parent / "loads" / "system-a.toml"
KNOWN, ASSUMED = r"`(\w+)`", r"\*(\w+)\*"
"""How the page about the jobs writes the names of the 68."""


@pytest.fixture(scope="module")
def listed() -> list[tuple[str, Figures]]:
    """A short span: seven days take a minute."""
    return compare(0.02)


def shape(tables: str) -> list[list[str]]:
    """The tables with a `#` for each figure."""
    rows = [line.split("|")[1:-1] for line in tables.splitlines() if line.startswith("|")]
    return [["#" if is_figure(cell.strip()) else cell for cell in row] for row in rows]


def is_figure(cell: str) -> bool:
    return cell == "–" or cell[:1].isdecimal()


def test_the_pages_tables_are_those_that_the_tool_makes(listed: list[tuple[str, Figures]]) -> None:
    page = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shape(page) == shape(results(listed)), "run `python -m tools.simulate_docs`"


def test_the_pages_pictures_show_what_the_tool_compares(listed: list[tuple[str, Figures]]) -> None:
    for path, made in ((WAITS, chart.waits_chart(listed)), (QUEUES, queues(listed))):
        for picture in (path.read_text(), made):
            ElementTree.fromstring(picture)
            assert [title for title, *_ in SHOWN if title not in picture] == []


def test_the_pages_example_of_a_file_can_be_read(tmp_path: Path) -> None:
    example = PAGE.read_text().partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "jobs.toml"
    path.write_text(example)
    assert [one.job.name for one in read_load(str(path)).jobs] == ["reader", "writer"]


def test_the_page_about_the_jobs_says_once_of_each_of_the_68_what_became_of_it() -> None:
    """In italics the names that are assumed: in the load they have no star."""
    section = (PAGE.parent / "jobs.md").read_text().partition("## What stood here before")[2]
    lines = section.partition("\n## ")[0].splitlines()
    rows = [line.split("|")[1:3] for line in lines if line.startswith(("| `", "| *"))]
    was, now = (" ".join(cells) for cells in zip(*rows, strict=True))
    known, assumed = re.findall(KNOWN, was), re.findall(ASSUMED, was)
    assert sorted(known) == sorted(re.findall(r"^(\w+) .*# \*", LOAD.read_text(), re.MULTILINE))
    assert sorted(known + assumed) == sorted(job.job.name for job in read_load("system-a").jobs)
    assert set(re.findall(KNOWN, now)) <= set(NAMES)
