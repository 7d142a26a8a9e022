"""The chain of gates (A3.6)."""

from typing import Any

import pytest

from orchestrator.content.gates import Context, Refusal, check, make_context, shingles, words
from orchestrator.settings import ContentSettings

GOOD = "Water the tomatoes in the early morning, before the sun is high.\n#gardening"


def context(recent: tuple[str, ...] = (), *, site_max_chars: int | None = None, **settings: Any) -> Context:
    return make_context(ContentSettings(**settings), recent, site_max_chars=site_max_chars)


def refusal(text: str, where: Context) -> Refusal:
    found = check(text, where)
    assert found is not None, text
    assert found.reason
    return found


def test_a_good_text_passes_every_gate() -> None:
    assert check(GOOD, context(("Another text that was published before.",), banned_words=["casino"])) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \n\t ", "is empty"),
        ("#gardening #roses #summer #flowers", "nothing but hashtags"),
        ("@someone https://a.example/a/long/path?and=more #x", "nothing but hashtags"),
        ("Too short. #gardening #roses #summer", "10 characters"),
        ("wowwowwowwowwow wowwowwowwowwow", "1 different words"),
        ("...!!! ??? ... !!! ... ???", "0 different words"),
        ("12345 67890 12345 67890 1", "0 different words"),
        ("A text with a zero \x00 in its middle.", "control characters"),
        ("A text with half an emoji \ud83d in it.", "control characters"),
    ],
)
def test_a_text_without_substance_is_refused(text: str, reason: str) -> None:
    found = refusal(text, context())
    assert found.gate == "substance"
    assert reason in found.reason


def test_a_text_in_a_script_without_spaces_has_substance() -> None:
    assert check("朝早くトマトに水をやると、夜までに葉が乾きます。", context()) is None


@pytest.mark.parametrize(("setting", "site", "allowed"), [(40, None, 40), (40, 30, 30), (30, 40, 30)])
def test_the_smaller_limit_of_settings_and_site_counts(setting: int, site: int | None, allowed: int) -> None:
    where = context(max_chars=setting, site_max_chars=site)
    fits = "Some words and then " + "x" * (allowed - 20)
    assert check(fits, where) is None
    found = refusal(fits + "x", where)
    assert found == Refusal("length", f"has {allowed + 1} characters; {allowed} are allowed")


def test_an_emoji_counts_two_as_in_a_browser() -> None:
    where = context(max_chars=30)
    assert check("Some words and then " + "x" * 8 + "🌱", where) is None
    assert refusal("Some words and then " + "x" * 9 + "🌱", where).gate == "length"


@pytest.mark.parametrize(
    "text",
    [
        "We played at the casino until late.",
        "We played at the CASINO until late.",
        "We played at the Cásinò until late.",
        "We played until late at night. #casino",
        "We played at the cas\u200bino until late.",
        "We played at the \uff43\uff41\uff53\uff49\uff4e\uff4f until late.",
        "It is Free-Money for everybody here.",
        "It is free\nmoney for everybody here.",
        "What a great offer for you all 🎰 today.",
    ],
)
def test_banned_words_and_phrases_are_found_in_any_dress(text: str) -> None:
    found = refusal(text, context(banned_words=["Casino", "free money", "🎰"]))
    assert found.gate == "banned_words"
    assert "banned" in found.reason


@pytest.mark.parametrize(
    "text",
    ["The first class was full of casinos and glass.", "They are free of it: money is no matter here."],
)
def test_parts_of_words_and_scattered_words_are_not_banned(text: str) -> None:
    assert check(text, context(banned_words=["ass", "casino", "free money", " "])) is None


def test_the_refusal_names_the_banned_word() -> None:
    assert "'Café'" in refusal("We met in a CAFE in the town.", context(banned_words=[" Café "])).reason


def test_the_same_text_with_other_white_space_is_a_duplicate() -> None:
    found = refusal(GOOD.replace(" ", "  ").replace("\n", " "), context(("Something else was said.", GOOD)))
    assert found.gate == "duplicates"
    assert "is the same as" in found.reason
    assert "Water the tomatoes" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        GOOD.upper(),
        GOOD.replace("#gardening", "#tomatoes #summer"),
        GOOD.replace("high", "up"),
        GOOD.replace("Water", "Do water"),
    ],
)
def test_a_text_that_differs_in_trifles_is_a_near_duplicate(text: str) -> None:
    found = refusal(text, context((GOOD,)))
    assert found.gate == "duplicates"
    assert "% the same as" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        "Water the roses in the late evening, after the sun has set behind the houses.",
        "In the early morning, before the sun is high, cut flowers last longer.",
    ],
)
def test_a_text_that_shares_some_words_is_no_duplicate(text: str) -> None:
    assert check(text, context((GOOD,))) is None


def test_the_first_gate_that_refuses_is_the_one_named() -> None:
    where = context(("casino",), banned_words=["casino"])
    assert refusal("casino", where).gate == "substance"


def test_gates_of_ones_own_can_be_put_in_the_chain() -> None:
    def no_shouting(text: str, _: Context) -> Refusal | None:
        return Refusal("no_shouting", "is all capitals") if text.isupper() else None

    assert check(GOOD.upper(), context(), gates=[no_shouting]) == Refusal("no_shouting", "is all capitals")


def test_words_are_compared_without_case_diacritics_and_invisible_letters() -> None:
    assert words("Crème brûlée, STRASSE Straße so\u00adft") == [
        "creme",
        "brulee",
        "strasse",
        "strasse",
        "soft",
    ]


def test_a_text_shorter_than_a_shingle_is_one_shingle() -> None:
    assert shingles("two words") == {"two words"}
    assert shingles("one two three four") == {"one two three", "two three four"}
