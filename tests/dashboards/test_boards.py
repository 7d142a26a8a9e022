"""The dashboards: their files are what the code says, and what they show is there."""

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.__main__ import BOARDS, file_of, render
from dashboards.parts import Board
from orchestrator.metrics import Metrics
from tests.dashboards.test_rules import DEPLOY, RULES, slug

DOCS = DEPLOY.parent / "docs"
USED = re.compile(r"(?<![:\w])orchestrator_\w+")
"""Not the series of recording rules, which have a colon before."""
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


def panels(board: Board) -> list[dict[str, Any]]:
    document = json.loads(file_of(board).read_text("utf-8"))
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def declared() -> set[str]:
    """Every metric that there is, by the name that Prometheus knows it by."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
    }


def used() -> set[str]:
    """The metrics that are on a dashboard or in an alert."""
    texts = [file_of(board).read_text("utf-8") for board in BOARDS] + [RULES.read_text("utf-8")]
    names = {name for text in texts for name in USED.findall(text)}
    return {name if name in declared() else OF_HISTOGRAMS.sub("", name) for name in names}


@each_board
def test_the_file_is_what_the_code_says(board: Board) -> None:
    assert file_of(board).read_text("utf-8") == render(board), "run `make dashboards`"


@each_board
def test_grafana_knows_every_part_of_it(board: Board) -> None:
    """Read into the types that are made of Grafana's own schema and written again, nothing is lost."""
    register_default_plugins()
    document = json.loads(file_of(board).read_text("utf-8"))
    again = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))
    assert again == document


@each_board
def test_each_panel_says_what_it_shows_and_what_to_do(board: Board) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        [link] = panel["links"]
        page, _, heading = link["url"].removeprefix("${docs}/").partition("#")
        text = (DOCS / page).read_text("utf-8")
        headings = {slug(line) for line in text.splitlines() if line.startswith("#")}
        assert not heading or heading in headings, f"{panel['title']}: {link['url']}"


@each_board
def test_panels_do_not_overlap(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_what_dashboards_and_alerts_ask_for_is_measured() -> None:
    assert used() - declared() == set()


def test_each_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    assert declared() - used() == set()
