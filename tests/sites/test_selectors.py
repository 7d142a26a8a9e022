"""The check of selectors: what CSS is, and where it stops being CSS."""

import pytest

from orchestrator.sites.selectors import SelectorError, check_selector


@pytest.mark.parametrize(
    "selector",
    ["a", "*", "form#compose button[type=submit]", "header a[href^='/sign-in']", 'a[title="x, y > z"]',
     "a > b + c ~ d, e", "li:nth-child(2n+1):not(.x, .y):has(> img)", "[data-count=likes]",
     ".a.b#c:first-child", "input[type='text' i]", "a:is(b, c d) e", "p:nth-of-type(odd)", "x-y:lang(en)",
     ".été", ".a\\:b", "  a  "],
)  # fmt: skip
def test_a_selector_is_taken(selector: str) -> None:
    assert check_selector(selector) == selector.strip()


@pytest.mark.parametrize(
    ("selector", "place"),
    [("", "empty"), ("a >", "' >'"), ("a,,b", "',b'"), ("[x", "'[x'"), ("a[b=]", "'[b=]'"), ("a{b}", "'{b}'"),
     ("//div", "'//div'"), ("text=foo", "'=foo'"), ("a >> b", "'> b'"), ("div..x", "'..x'"), ("#", "'#'"),
     ("a:not(", "too early"), ("a:not(b", "too early"), ("1a", "'1a'"), ("a::before", "'::before'"),
     ("p;", "';'"), ("a[b='c]", "[b='c]"), ("*a", "'a'"), (",a", "',a'"), ("a:nth-child(x)", "'x)'")],
)  # fmt: skip
def test_a_slip_is_named_with_its_place(selector: str, place: str) -> None:
    with pytest.raises(SelectorError) as caught:
        check_selector(selector)
    assert place in str(caught.value)
