"""How a text's format is recognised."""

import pytest

from orchestrator.content.formats import recognise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tip: water early. Why? Less dries up.\n#gardening", "tip"),
        ("Tomatoes are berries.\nDid you know?\n#gardening #fruit", "question"),
        ("Did you know? Tomatoes are berries.", "question"),
        ("Did you know?\nTomatoes are berries.", "story"),
        ("Jobs:\n- rake\n- hoe", "list"),
        ("Jobs:\n1. rake\n2. hoe", "list"),
        ("One job:\n- rake", "story"),
        ("95% of a cucumber is water.", "number"),
        ("€20 buys a good trowel.", "number"),
        ("In 1781 he saw Uranus.", "story"),
        ("#gardening", "story"),
        ("", "story"),
    ],
)
def test_a_format_is_recognised_by_its_shape(text: str, expected: str) -> None:
    assert recognise(text) == expected
