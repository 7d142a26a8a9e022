"""Templates filled from data, and the bundled data."""

import re
from itertools import product
from pathlib import Path
from random import Random

import pytest

from orchestrator.content.formats import FORMATS, recognise
from orchestrator.content.gates import check, make_context
from orchestrator.content.templates import Templates, load_templates
from orchestrator.errors import ContentError
from orchestrator.settings import ContentSettings

TOPICS = ("astronomy", "books", "cooking", "cycling", "gardening")
PAIRS = list(product(TOPICS, FORMATS))


@pytest.fixture(scope="module")
def templates() -> Templates:
    return load_templates()


def test_all_five_topics_and_formats_are_bundled(templates: Templates) -> None:
    assert templates.topics == TOPICS
    assert set(templates.formats) == set(FORMATS)


@pytest.mark.parametrize(("topic", "form"), PAIRS)
def test_no_filling_of_a_bundled_template_is_longer_than_a_post(
    templates: Templates, topic: str, form: str
) -> None:
    assert templates.longest(topic, form) <= 280


@pytest.mark.parametrize(("topic", "form"), PAIRS)
def test_every_topic_and_format_gives_forty_posts_that_pass_the_gates_one_after_the_other(
    templates: Templates, topic: str, form: str
) -> None:
    rng = Random(1)
    written: list[str] = []
    for _ in range(400):
        text = templates.fill(topic, form, rng)
        assert text is not None
        refusal = check(text, make_context(ContentSettings(), written))
        assert refusal is None or refusal.gate == "duplicates", refusal
        if refusal is None:
            written.append(text)
        if len(written) == 40:
            break
    assert len(written) == 40
    for text in written:
        assert recognise(text) == form, text
        assert text.endswith(f"\n#{topic}")
        assert not re.search(r"[{}]|  | \n", text), text


@pytest.mark.parametrize(("topic", "form"), PAIRS)
def test_every_post_has_the_shape_of_its_format(templates: Templates, topic: str, form: str) -> None:
    rng = Random(2)
    for _ in range(50):
        text = templates.fill(topic, form, rng)
        assert text is not None
        lines = text.splitlines()[:-1]
        shapes = {
            "tip": text.startswith("Tip:"),
            "question": "?" in lines[-1],
            "list": sum(line.startswith("- ") for line in lines) >= 2,
            "number": text[0].isdigit(),
            "story": "?" not in text and len(lines) == 1 and not text[0].isdigit(),
        }
        assert shapes[form], text


def test_an_unknown_topic_or_format_gives_nothing(templates: Templates) -> None:
    assert templates.fill("knitting", "tip", Random(3)) is None
    assert templates.fill("books", "poem", Random(3)) is None


def test_the_same_seed_gives_the_same_text(templates: Templates) -> None:
    assert templates.fill("books", "list", Random(4)) == templates.fill("books", "list", Random(4))


def test_entries_of_one_list_are_never_taken_twice_in_a_text(tmp_path: Path) -> None:
    (tmp_path / "formats.toml").write_text('list = ["{items}/{items_2}/{items_3}"]')
    (tmp_path / "tea.toml").write_text('hashtag = "tea"\nitems = ["a", "b", "c"]')
    assert load_templates(tmp_path).fill("tea", "list", Random(5)) == "a/b/c\n#tea"


@pytest.mark.parametrize(
    ("formats", "topic", "named"),
    [
        ('tip = ["{tips}"', 'hashtag = "tea"\ntips = ["a"]', "formats.toml: "),
        ('tip = "{tips}"', 'hashtag = "tea"\ntips = ["a"]', "formats.toml: tip must be a list"),
        ('tip = ["{tips"]', 'hashtag = "tea"\ntips = ["a"]', "formats.toml: tip: "),
        ('tip = ["{}"]', 'hashtag = "tea"\ntips = ["a"]', "formats.toml: tip: "),
        ('tip = ["{tips}"]', 'tips = ["a"]', "tea.toml: hashtag must be one word"),
        ('tip = ["{tips}"]', 'hashtag = "two words"\ntips = ["a"]', "tea.toml: hashtag must be one word"),
        ('tip = ["{tips}"]', 'hashtag = "tea"', "tea.toml: tips needs at least 1"),
        ('tip = ["{tips} {tips_2}"]', 'hashtag = "tea"\ntips = ["a"]', "tea.toml: tips needs at least 2"),
        ('tip = ["{tips}"]', 'hashtag = "tea"\ntips = ["a", 2]', "tea.toml: tips must be a list"),
        ('tip = ["{tips}"]', 'hashtag = "tea"\ntips = []', "tea.toml: tips must be a list"),
        ('tip = ["{tips}"]', 'hashtag = "tea"\ntips = ["a", "a"]', "tea.toml: tips has an entry twice"),
    ],
)
def test_a_broken_template_file_is_named_with_the_reason(
    tmp_path: Path, formats: str, topic: str, named: str
) -> None:
    (tmp_path / "formats.toml").write_text(formats)
    (tmp_path / "tea.toml").write_text(topic)
    with pytest.raises(ContentError, match=re.escape(named)):
        load_templates(tmp_path)


def test_a_folder_without_formats_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"formats\.toml: can't be read"):
        load_templates(tmp_path)
