"""Plain text from Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.content.markdown import plain_text


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("Some *soft* and **strong** `code`", "Some soft and strong code"),
        ("See [the shop](https://shop.example) now", "See the shop now"),
        ("![a *red* rose](rose.png) blooms", "a red rose blooms"),
        ("<https://a.example/b>", "https://a.example/b"),
        ("Made <b>bold</b> <!-- a note --> here", "Made bold here"),
        ("<!-- a note -->\n\nText", "Text"),
        ("<script>alert(1)</script>\n\nText", "Text"),
        ("Fish &amp; chips &lt;3", "Fish & chips <3"),
        ("5 * 3 and snake_case_name \\*stay\\*", "5 * 3 and snake_case_name *stay*"),
        ("wrapped\nlines are joined", "wrapped lines are joined"),
        ("a hard  \nbreak stays", "a hard\nbreak stays"),
        ("# Title\n\nText", "Title\n\nText"),
        ("Things:\n- one\n- two", "Things:\n- one\n- two"),
        ("Things:\n\n* one\n* two", "Things:\n\n- one\n- two"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("> quoted\n> words", "quoted words"),
        ("```\ncode  stays\n```", "code  stays"),
        ("First.\n\nSecond.", "First.\n\nSecond."),
        ("#hashtags are no titles", "#hashtags are no titles"),
        ("   \n\n", ""),
    ],
)
def test_markup_goes_and_words_stay(markdown: str, expected: str) -> None:
    assert plain_text(markdown) == expected


@given(st.text(alphabet=st.sampled_from("ab *_#>-`[]()!<&;\n1.~\\"), max_size=80))
def test_no_markdown_however_broken_raises(markdown: str) -> None:
    assert plain_text(markdown) == plain_text(markdown).strip()
