from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.terminal import words

NOW = datetime(2026, 11, 22, 14, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (-3.0, "0 s"),
        (0.004, "0.00 s"),
        (0.2, "0.20 s"),
        (3.21, "3.2 s"),
        (5, "5 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599.0, "1 h"),
        (4320.0, "1 h 12 min"),
        (86_399.0, "1 d"),
        (183_600.0, "2 d 3 h"),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@given(st.floats(min_value=0, max_value=1e9))
def test_a_duration_never_shows_sixty_of_a_unit(seconds: float) -> None:
    assert not words.duration(seconds).startswith(("60 ", "24 h"))
    assert " 60 min" not in words.duration(seconds)


def test_moments_are_told_as_seen_from_the_daemons_clock() -> None:
    assert words.ago(NOW - timedelta(seconds=5), NOW) == "5 s ago"
    assert words.ago(NOW + timedelta(seconds=5), NOW) == "just now"
    assert words.ahead(NOW + timedelta(hours=1, minutes=12), NOW) == "in 1 h 12 min"
    assert words.ahead(NOW - timedelta(hours=1), NOW) == "now"
    assert words.ago(None, NOW) == words.ahead(NOW, None) == "–"


@pytest.mark.parametrize(
    ("said", "brief"),
    [("3 h 2 min ago", "3 h ago"), ("in 1 h 28 min", "in 1 h"), ("just now", "just now"), ("–", "–")],
)
def test_the_brief_form_keeps_the_largest_unit(said: str, brief: str) -> None:
    assert words.brief(said) == brief


@given(st.text())
def test_nothing_in_a_strangers_text_can_steer_the_terminal(text: str) -> None:
    assert all(character.isprintable() for character in words.plain(text))


def test_colours_in_a_strangers_text_are_taken_out_whole() -> None:
    assert words.plain("a\x1b[31mred\x1b[0m\r\n b\x07") == "ared b"


def test_fields_that_are_missing_or_odd_read_as_nothing() -> None:
    row = {"list": [1, {"a": 1}, None], "number": True, "moment": "yesterday", "naive": "2026-11-22T14:32"}
    assert words.rows(row, "list") == [{"a": 1}]
    assert words.rows(row, "number") == words.rows(row, "nothing") == []
    assert words.table(row, "list") == {}
    assert words.number(row, "number") is None
    assert words.moment(row, "moment") is words.moment(row, "naive") is words.moment(row, "list") is None
    assert words.text(row, "nothing", "default") == "default"


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, ""), (1, "████"), (0.5, "██"), (0.53, "██▏"), (2, "████"), (-1, "")]
)
def test_a_bar_is_filled_in_eighths_of_a_cell(share: float, drawn: str) -> None:
    assert words.bar(share, 4).rstrip() == drawn


def test_sizes_and_counts_are_said_as_people_say_them() -> None:
    assert (words.size(84e6), words.size(1.25e9), words.size(None)) == ("84 MB", "1.2 GB", "–")
    assert words.count(1841).replace("\N{NARROW NO-BREAK SPACE}", "_") == "1_841"
