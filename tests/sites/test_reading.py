"""Numbers as sites write them."""

import pytest

from orchestrator.sites.reading import parse_count


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("7", 7), ("1234", 1234), ("1,234", 1234), ("1.234", 1234), ("1 234", 1234),
     ("1\u202f234", 1234), ("1'234'567", 1_234_567), ("1.2K", 1200), ("1,2k", 1200), ("12K", 12_000),
     ("3M likes", 3_000_000), ("1.234K", 1234), (" 42 \n likes", 42), ("likes: 5", 5), ("2 Months", 2),
     ("5 Beans", 5), ("1.1B", 1_100_000_000), ("5likes", 5), ("3万", 30_000), ("1.2億", 120_000_000),
     ("3 million views", 3_000_000), ("12 thousand", 12_000), ("\u0663\u0664", 34), ("(12)", 12), ("12.", 12),
     ("99,999,999,999,999", 10**14 - 1), ("2 likes, 3 replies", 2), ("2 likes 3 replies", 2), ("12\n34", 12),
     ("9.95K", 9950), ("0" * 20, 0)],
)  # fmt: skip
def test_a_count_is_read(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text",
    ["", "none", "—", "1.5", "1,23", "K", "-5", "\u22125", "likes: -5", ".5K", "1_000", "3²5", "1\u00b7234",
     "3 mil", "3mil", "3 Mio.", "2,5 Mrd", "3 lakh", "3 tys.", "3\u00a0млн", "3만", "1e9", "1E9", "1e-9",
     "12K5", "12:30", "1/2", "3.5.2026", "1" * 16, "1" * 20, "9" * 400, "9" * 5000, "9" * 400 + "K",
     "9" * 400 + ".5K", "9" * 12 + "B"],
)  # fmt: skip
def test_what_is_no_count_is_not_guessed(text: str) -> None:
    assert parse_count(text) is None
