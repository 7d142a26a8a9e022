"""The pictures of the dashboards: everything on a dashboard is in its picture."""

import json
import math
from xml.etree import ElementTree

import pytest

from dashboards.__main__ import BOARDS, file_of
from dashboards.parts import Board
from tests.dashboards.drawing import Series, draw
from tests.dashboards.pictures import file_for

SVG = "{http://www.w3.org/2000/svg}"
END_S = 60.0
FOUND = (
    Series("rising", [(second, second / 7) for second in range(0, 60, 3)]),
    Series("<odd>", [(0, 1), (3, 1), (30, 0), (57, 0)]),
)

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


def words(picture: str) -> set[str]:
    return {element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")}


def titles(board: Board) -> set[str]:
    return {panel["title"] for panel in json.loads(file_of(board).read_text("utf-8"))["panels"]}


@each_board
def test_each_panel_is_drawn_with_what_was_found(board: Board) -> None:
    document = json.loads(file_of(board).read_text("utf-8"))
    picture = draw(document, dict.fromkeys(titles(board), FOUND), END_S, "made up")
    assert titles(board) <= words(picture)
    assert "<odd>" in words(picture)
    assert "nothing to show" not in words(picture)
    for element in ElementTree.fromstring(picture).iter(f"{SVG}polyline"):
        numbers = [float(number) for pair in element.get("points", "").split() for number in pair.split(",")]
        assert all(math.isfinite(number) and number >= 0 for number in numbers)


@each_board
def test_a_panel_without_data_says_so(board: Board) -> None:
    document = json.loads(file_of(board).read_text("utf-8"))
    assert "nothing to show" in words(draw(document, {}, END_S, "made up"))


@each_board
def test_the_picture_in_the_docs_is_of_this_dashboard(board: Board) -> None:
    assert titles(board) <= words(file_for(board).read_text("utf-8")), "run `make pictures`"
