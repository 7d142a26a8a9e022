"""What people see: page, pictures, tables."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from orchestrator.simulate import chart, sheets
from orchestrator.simulate.figures import Figures
from orchestrator.simulate.page import render_page
from orchestrator.simulate.screen import render_figures
from orchestrator.simulate.words import number, share, wait
from tests.simulate.loads import a_job, figures

VOID = {"meta", "br", "hr", "img", "input", "link"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def made() -> Figures:
    """Of a job with a name that means something in HTML."""
    return figures(a_job("first", 90, at="00:10"), a_job("<second> & co", 30, at="00:11", priority=1))


class Balance(HTMLParser):
    """Finds tags that are not closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_the_page_is_well_formed_and_shows_tables_and_pictures(made: Figures) -> None:
    page = Balance()
    page.feed(render_page(made))
    page.close()
    assert page.open == []
    assert (page.seen.count("svg"), page.seen.count("table")) == (3, 2)
    assert {"critical", "high", "background", "first", "<second> & co", "30 s"} <= set(page.cells)


def test_the_page_refers_to_nothing_outside_itself(made: Figures) -> None:
    page = render_page(made).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z]|src=|href|url\(|@import|<script|<link|<iframe", page)


def test_the_page_is_for_light_and_dark(made: Figures) -> None:
    assert render_page(made).count("prefers-color-scheme: dark") >= 2


def test_the_pictures_stand_alone(made: Figures) -> None:
    for picture in (chart.waits_chart([("a & b", made)]), chart.depth_chart(made), chart.use_chart(made)):
        root = ElementTree.fromstring(picture)
        assert root.tag == f"{SVG}svg"
        assert root.get("aria-label")


def test_each_lanes_longest_wait_stands_beside_it(made: Figures) -> None:
    root = ElementTree.fromstring(chart.waits_chart([("one", made), ("two", made)]))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert [words.count(said) for said in ("one", "two", "high", "30 s", "no request")] == [1, 1, 2, 2, 2]


def test_the_terminal_shows_a_line_for_each_lane_and_job(made: Figures) -> None:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(render_figures(made))
    lines = capture.get().splitlines()
    [high] = [line.split() for line in lines if line.startswith("high ")]
    assert high[:4] == ["high", "1", "30", "s"]
    assert [line.split()[0] for line in lines if line.startswith(("f", "<"))] == ["<second>", "first"]


def test_what_there_is_nothing_of_is_a_dash_and_no_column_of_the_page(made: Figures) -> None:
    [critical] = [row for row in sheets.lanes(made).rows if row[0] == "critical"]
    assert set(critical[1:]) == {"–"}
    page = Balance()
    page.feed(render_page(made))
    heads = page.cells[page.cells.index("job") :]
    assert ("longest wait" in heads, "given up" in heads, "revoked" in heads) == (True, False, False)


def test_a_queue_that_was_always_empty_is_told_in_words() -> None:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(render_figures(figures(a_job("alone", 30, at="00:10"))))
    assert "queue over time nobody waits\n" in capture.get()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_figure_is_cut_in_the_terminal(made: Figures, width: int) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_figures(made))
    shown = capture.get()
    assert "…" not in shown
    assert ("expired" in shown, "retried" in shown) == (width > 80, width > 100)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (1e-7, "0 s"),
        (0.4, "0.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 05 s"),
        (3599.7, "1 h"),
        (4320, "1 h 12 min"),
    ],
)
def test_a_wait_is_told_in_two_units_at_most(seconds: float, said: str) -> None:
    assert wait(seconds) == said


def test_counts_and_shares() -> None:
    assert (number(0), number(12_345), share(0.454)) == ("–", "12\u202f345", "45\u00a0%")
