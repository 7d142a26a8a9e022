"""Drafts: Markdown first, templates next, other formats last."""

from random import Random

import pytest

from orchestrator.content.gates import make_context
from orchestrator.content.generator import (
    ATTEMPTS,
    Inventory,
    Written,
    inventory,
    write_draft,
)
from orchestrator.content.sources import Snippet
from orchestrator.content.templates import Templates, load_templates
from orchestrator.model import Arms
from orchestrator.settings import ContentSettings

NOTHING = Templates({}, {})
WISH = Arms("books", "tip", 9)


def snippet(text: str, topic: str = "books", form: str = "tip") -> Snippet:
    return Snippet(text, topic, form, f"{topic}.md:{len(text)}")


def draft(
    *snippets: Snippet, templates: Templates = NOTHING, recent: tuple[str, ...] = (), wish: Arms = WISH
) -> Written | list[str]:
    """What was written, or the gates that refused."""
    written = write_draft(
        wish,
        snippets=snippets,
        templates=templates,
        context=make_context(ContentSettings(banned_words=["casino"]), recent),
        rng=Random(1),
    )
    return written if isinstance(written, Written) else [refusal.gate for refusal in written]


@pytest.fixture(scope="module")
def bundled() -> Templates:
    return load_templates()


def test_a_snippet_of_the_wished_topic_and_format_comes_before_templates(bundled: Templates) -> None:
    fits = snippet("Tip: read the last page first, now and then.")
    others = [snippet("It was a long and rainy evening.", form="story"), snippet("Tip: bake it.", "cooking")]
    written = draft(*others, fits, templates=bundled)
    assert written == Written(fits.text, fits.source, "books", "tip")


def test_a_used_snippet_is_passed_over_for_a_template(bundled: Templates) -> None:
    used = snippet("Tip: read the last page first, now and then.")
    written = draft(used, templates=bundled, recent=(used.text.replace(" ", "\n"),))
    assert isinstance(written, Written)
    assert (written.source, written.topic, written.format) == ("template:books/tip", "books", "tip")


def test_a_refused_snippet_gives_way_to_the_next_candidate(bundled: Templates) -> None:
    written = draft(snippet("Tip: read in the casino, where nobody looks."), templates=bundled)
    assert isinstance(written, Written)
    assert written.source == "template:books/tip"


def test_when_the_format_has_nothing_new_another_format_of_the_topic_is_written() -> None:
    other = snippet("It was a long and rainy evening.", form="story")
    assert draft(snippet("Cats and dogs were everywhere.", "pets"), other) == Written(
        other.text, other.source, "books", "story"
    )


def test_refusals_say_gate_reason_and_source_of_each_candidate() -> None:
    short, banned = snippet("Tip: no."), snippet("Tip: read in the casino, where nobody looks.")
    refusals = write_draft(
        WISH,
        snippets=[short, banned],
        templates=NOTHING,
        context=make_context(ContentSettings(banned_words=["casino"]), []),
        rng=Random(1),
    )
    assert isinstance(refusals, list)
    assert {(refusal.gate, refusal.source) for refusal in refusals} == {
        ("substance", short.source),
        ("banned_words", banned.source),
    }
    assert all(refusal.reason for refusal in refusals)


def test_without_any_candidate_there_is_still_a_reason() -> None:
    assert draft() == ["source"]
    used = snippet("Tip: read the last page first, now and then.")
    assert draft(used, recent=(used.text,)) == ["source"]


def test_a_bounded_number_of_candidates_is_tried_and_templates_still_have_their_turn(
    bundled: Templates,
) -> None:
    many = [snippet(f"Tip: {number} casino.") for number in range(100, 300)]
    assert draft(*many) == ["substance"] * ATTEMPTS
    assert isinstance(draft(*many, templates=bundled), Written)


def test_which_unused_snippet_is_taken_depends_on_the_seed_alone() -> None:
    many = [snippet(f"Tip: read book number {number} aloud to a friend.") for number in range(20)]
    context = make_context(ContentSettings(), [])

    def with_seed(seed: int) -> object:
        return write_draft(WISH, snippets=many, templates=NOTHING, context=context, rng=Random(seed))

    assert with_seed(1) == with_seed(1)
    assert len({str(with_seed(seed)) for seed in range(10)}) > 3


def test_the_inventory_is_what_snippets_and_templates_offer_together(bundled: Templates) -> None:
    found = inventory([snippet("…", "knitting", "haiku")], bundled)
    assert found == Inventory(
        ("astronomy", "books", "cooking", "cycling", "gardening", "knitting"),
        ("haiku", "list", "number", "question", "story", "tip"),
    )
