"""What the language model is asked, and what is made of its answer."""

import pytest

from orchestrator.content.prompts import MAX_RECENT, question, text_of


def test_a_question_names_topic_shape_length_and_what_was_said_already() -> None:
    asked = question("home cooking", "list", 280, [f"earlier text {at}" for at in range(9)])
    assert "about home cooking" in asked
    assert 'begin with "- "' in asked
    assert "At most 260 characters" in asked
    assert "#homecooking" in asked
    assert [line for line in asked.splitlines() if line.startswith("- earlier")] == [
        f"- earlier text {at}" for at in range(MAX_RECENT)
    ]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Tip: salt it.\n#cooking", "Tip: salt it.\n#cooking"),
        ("Tip: salt it.", "Tip: salt it.\n#cooking"),
        ('"Tip: salt it.\n#cooking"', "Tip: salt it.\n#cooking"),
        ("„Salz es.“", "Salz es.\n#cooking"),
        ("**Tip:** salt *it*.\n\n#cooking #salt", "Tip: salt it.\n#cooking #salt"),
        ("Three things:\n- salt\n- oil", "Three things:\n- salt\n- oil\n#cooking"),
        ('Say "yes" to salt', 'Say "yes" to salt\n#cooking'),
    ],
)
def test_an_answer_becomes_plain_text_with_its_hashtag(answer: str, text: str) -> None:
    assert text_of(answer, "cooking") == text
