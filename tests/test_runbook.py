"""Each alert and each reason for `degraded` has its entry in the runbook, and each entry is one of those."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import app
from orchestrator.alerts import runbook
from orchestrator.health import claims, problems
from orchestrator.settings import ALERTS_PREFIX, SITE_PREFIX
from orchestrator.settings.cache import CACHE
from orchestrator.settings.feeds import FEED_PREFIX
from orchestrator.settings.llm import LANGUAGE_MODEL
from tests.dashboards.test_rules import RULES, rules, slug

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / runbook.PAGE).read_text("utf-8")
PARTIES = (f"{SITE_PREFIX}x", f"{ALERTS_PREFIX}x", f"{FEED_PREFIX}x", CACHE, LANGUAGE_MODEL)
ENTRY_OF_MANY = "posts-in-doubt"
"""A longer story that several alerts share."""


def entries() -> dict[str, str]:
    """The text of each entry by its anchor."""
    parts = re.split(r"^###? (.+)$", TEXT, flags=re.MULTILINE)
    found = {slug(heading): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}
    return {anchor: text for anchor, text in found.items() if "**Means.**" in text or anchor == ENTRY_OF_MANY}


def first_arguments(module: Any, call: str) -> set[str]:
    """What the calls of `call` in a module's text have as their first argument, as far as it is constant."""
    found = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == call:
            text = ast.unparse(node.args[0])
            if text != "name":  # a breaker's, of which PARTIES has all
                found.add(str(eval(text, vars(module), {"result": Nobody, "breakers": ()})))
    return found


class Nobody:
    name = "nobody"


def alerts_of_the_daemon() -> set[str]:
    """Links of all that can be told."""
    names = first_arguments(problems, "Kind") - {problems.CHECK_DOWN, problems.BREAKER_OPEN}
    return {
        *(runbook.link(name, "x") for name in {*names, claims.STAYS_OPEN}),
        *(runbook.link(problems.CHECK_DOWN, check) for check in first_arguments(app, "Check")),
        *(runbook.link(problems.BREAKER_OPEN, party) for party in PARTIES),
    }


def test_each_alert_of_the_daemon_has_an_entry() -> None:
    assert len(alerts_of_the_daemon()) > 25
    assert alerts_of_the_daemon() <= {f"{runbook.PAGE}#{anchor}" for anchor in entries()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_rule_of_prometheus_leads_to_an_entry_that_names_it(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == runbook.PAGE
    assert rule["alert"].lower() == anchor or f"`{rule['alert']}`" in entries()[anchor]


def test_each_entry_is_that_of_an_alert() -> None:
    led_to = {rule["annotations"]["runbook_url"] for rule in rules()} | alerts_of_the_daemon()
    assert {f"{runbook.PAGE}#{anchor}" for anchor in entries()} <= led_to


def test_each_rule_that_an_entry_names_is_there() -> None:
    named = set(re.findall(r"`(Orchestrator\w+)`", TEXT))
    assert named <= {rule["alert"] for rule in rules()}
    assert yaml.safe_load(RULES.read_text())


@pytest.mark.parametrize("anchor", entries())
def test_each_entry_says_what_it_means_how_to_look_and_what_to_do(anchor: str) -> None:
    text = entries()[anchor]
    assert anchor == ENTRY_OF_MANY or all(word in text for word in ("**Means.**", "**Look.**", "**Do.**"))


def test_links_within_the_runbook_and_from_it_lead_somewhere() -> None:
    for page, anchor in re.findall(r"\]\(([\w.-]*)#([\w-]+)\)", TEXT):
        text = TEXT if not page else (ROOT / "docs" / page).read_text("utf-8")
        headings = {slug(line) for line in text.splitlines() if line.startswith("#")}
        assert anchor in headings, f"{page}#{anchor}"


def test_a_problem_names_its_entry() -> None:
    kind = problems.Kind(problems.BREAKER_OPEN, "site:blog")
    row = problems.problem("site:blog is down", None, "", kind)
    assert row["runbook"] == "docs/runbook.md#breaker_open-site"
