"""`ctl accounts` in a terminal."""

from typing import Any

from orchestrator.terminal.accounts import render_accounts
from tests.terminal.test_status import line_with, shown

NOW = "2026-05-04T12:00:00+00:00"


def account(name: str, **changes: Any) -> dict[str, Any]:
    today = {action: {"count": 1, "limit": 24} for action in ("posts", "replies", "sign_ins", "visits")}
    row = {"name": name, "site": "murmur", "signed_in_at": "2026-05-04T10:00:00+00:00", "health": 96}
    return row | {"today": today, "figures": {"followers": 70}, "why": []} | changes


def answer(*accounts: dict[str, Any], more: int = 0) -> dict[str, Any]:
    return {"accounts": list(accounts), "more": more, "min_health": 40, "now": NOW}


def test_each_account_has_a_line() -> None:
    output = shown(render_accounts(answer(account("ada"))))
    heads = "account site signed in health posts replies sign-ins visits followers"
    assert " ".join(output.splitlines()[0].split()) == heads
    assert line_with("ada", output).split() == [
        "ada", "murmur", "2", "h", "ago", "96", "1/24", "1/24", "1/24", "1/24", "70",
    ]  # fmt: skip
    assert "In the way" not in output


def test_what_stands_in_the_way_is_below_the_lines() -> None:
    why = ["spared: its health is 12, below 40; \x1b[2Jno", "breaker site:murmur is open"]
    lines = shown(render_accounts(answer(account("bert", health=12, why=why), account("ada")))).splitlines()
    at = lines.index("In the way")
    assert lines[at + 1].split(maxsplit=1)[0] == "bert"
    assert lines[at + 2].strip() == "breaker site:murmur is open"
    assert "\x1b" not in "".join(lines)


def test_what_is_not_known_is_left_open() -> None:
    new = account("new", signed_in_at=None, figures=None, today={})
    assert line_with("new", shown(render_accounts(answer(new)))).split() == [
        "new", "murmur", "never", "96", "–", "–", "–", "–", "–",
    ]  # fmt: skip
    shown(render_accounts({"accounts": [{}]}))


def test_how_many_more_there_are_is_said() -> None:
    assert "And 7 more" in shown(render_accounts(answer(account("ada"), more=7)))
    assert "No account" in shown(render_accounts(answer()))
