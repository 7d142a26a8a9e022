"""Numbers as sites write them."""

import pytest

from orchestrator.sites.reading import parse_count


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("7", 7), ("1234", 1234), ("1,234", 1234), ("1.234", 1234), ("1 234", 1234),
     ("1\u202f234", 1234), ("1'234'567", 1_234_567), ("1.2K", 1200), ("1,2k", 1200), ("12K", 12_000),
     ("3M likes", 3_000_000), ("1.234K", 1234), (" 42 \n likes", 42), ("likes: 5", 5), ("2 Months", 2),
     ("5 Beans", 5), ("1.1B", 1_100_000_000)],
)  # fmt: skip
def test_a_count_is_read(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "none", "—", "1.5", "1,23", "K"])
def test_what_is_no_count_is_not_guessed(text: str) -> None:
    assert parse_count(text) is None
