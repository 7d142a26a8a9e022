"""What a text is made of: its opening, its length, and the band of its hour."""

import pytest

from orchestrator.learning import features


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("Do you salt the water? I do.", features.QUESTION),
        ("7 ways to fold a towel", features.NUMBER),
        ("€5 buys a lot of flour.", features.NUMBER),
        ("Tip: let the dough rest.", features.LABEL),
        ("A thing to try: rye.", features.LABEL),
        ("What a morning! Nobody slept?", features.EXCLAMATION),
        ("We baked all night.", features.FIRST_PERSON),
        ("Your oven lies to you.", features.ADDRESS),
        ("Youth is wasted. Why?", features.STATEMENT),
        ("Iron pans last.", features.STATEMENT),
        ("- one\n- two", features.STATEMENT),
        ("", features.STATEMENT),
    ],
)
def test_a_text_is_known_by_how_it_opens(text: str, opening: str) -> None:
    assert features.opening(text) == opening


@pytest.mark.parametrize(
    ("chars", "length"),
    [(0, "under 80"), (79, "under 80"), (80, "80 to 139"), (140, "140 to 199"), (200, "200 and more")],
)
def test_lengths_have_four_classes(chars: int, length: str) -> None:
    assert features.length("x" * chars) == length


def test_each_hour_of_day_lies_in_the_band_that_names_it() -> None:
    for hour in range(24):
        assert hour in features.hours_of(features.band(hour))
    assert (features.band(0), features.band(23)) == ("00–03", "21–24")
