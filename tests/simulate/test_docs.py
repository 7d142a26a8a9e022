"""The page about the simulation, and what makes its tables and pictures."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestrator.simulate import chart
from orchestrator.simulate.figures import Figures
from orchestrator.simulate.load import read_load
from tools.simulate_docs import BEGIN, END, PAGE, QUEUES, SHOWN, WAITS, compare, queues, results


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
