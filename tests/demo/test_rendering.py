import pytest

from orchestrator.demo.rendering import linked
from tests.demo.harness import HOUR, Moment, Visitor, parse


@pytest.mark.parametrize("text", ["a\n b  c", "<b>&amp;</b> #books", "#a#b # c#", "#größe", "«»"])
def test_a_text_with_links_is_still_the_same_text(text: str) -> None:
    assert parse(str(linked(text))).text == text


def test_hashtags_lead_to_a_search_for_them() -> None:
    [link] = parse(str(linked("Wait. #books"))).all("a")
    assert (link.text, link.attributes["href"]) == ("#books", "/search?q=%23books")


@pytest.mark.parametrize(
    ("age_s", "shown"),
    [(0, "just now"), (59, "just now"), (61, "1 min ago"), (2 * HOUR, "2 h ago"), (50 * HOUR, "4 May")],
)
async def test_ages_are_shown_in_words(visitor: Visitor, moment: Moment, age_s: float, shown: str) -> None:
    await visitor.sign_in()
    await visitor.published("hello")
    moment.value += age_s
    assert (await visitor.get("/@ada")).one("article.post").one("time").text == shown
