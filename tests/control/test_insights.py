"""The verb that tells what works."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.control.peers import Caller, Level
from orchestrator.control.verbs import verbs_of
from orchestrator.db import findings
from orchestrator.db.findings import ALL, Finding
from orchestrator.db.pool import Database
from orchestrator.errors import ControlError
from orchestrator.health.status import House
from orchestrator.terminal.insights import render_insights
from tests import rows
from tests.fakes import NOON, a_stage, make_house
from tests.terminal.test_status import shown

CALLER = Caller(os.getuid(), os.getpid(), Level.VIEW)


async def ask(house: House, **args: Any) -> Any:
    return await verbs_of(house, lambda _who: None)["insights"].handler(CALLER, args)


def finding(site: str, account: str, subject: str, effect: float = 0.2) -> Finding:
    text = f"Posts of the format {subject} rank 20 points of 100 higher."
    return Finding("format", site, account, subject, text, effect, effect - 0.1, effect + 0.1, 48)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Three accounts on two sites; findings of both sites and of two accounts, and some sums."""
    fence = await rows.take_fence(database)
    for site, account, subject in (
        ("murmur", ALL, "tip"), ("murmur", "ada", "list"), ("murmur", "grace", "story"),
        ("other", ALL, "number"),
    ):  # fmt: skip
        found = [finding(site, account, subject)]
        await database.run(findings.replace, site, [account], ["format"], found, fence, NOON)
    day = (NOON - timedelta(days=1)).date()
    for account in ("ada", "grace"):
        await rows.execute(
            database,
            "INSERT INTO rollups VALUES ($1, $2, 'hour', '9', 4, 12, 4, 400, 2.4, 1.5)",
            account,
            day,
        )
    async with a_stage([]) as stage:
        house = make_house(stage, database)
        house.site_of = {"ada": "murmur", "grace": "murmur", "lin": "other"}
        yield house


async def test_what_holds_for_all_accounts_of_each_site_is_told(house: House) -> None:
    answer = await ask(house)
    assert [one["subject"] for one in answer["findings"]] == ["tip", "number"]
    assert answer["sums"] == [
        {"dimension": "hour", "value": "9", "posts": 8, "score": 0.6, "likes": 24, "replies": 8, "views": 800}
    ]


async def test_of_an_account_its_own_findings_are_told_with_those_of_its_site(house: House) -> None:
    answer = await ask(house, account="ada")
    assert {(one["account"], one["subject"]) for one in answer["findings"]} == {
        (None, "tip"),
        ("ada", "list"),
    }
    assert [one["posts"] for one in answer["sums"]] == [4]
    assert (await ask(house, account="lin"))["sums"] == []


async def test_an_account_that_is_not_there_is_refused_with_those_that_are(house: House) -> None:
    with pytest.raises(ControlError, match="there is no account max") as caught:
        await ask(house, account="max")
    assert caught.value.remedy == "Accounts: ada, grace, lin"


async def test_people_read_sentences_and_below_them_the_sums(house: House) -> None:
    lines = shown(render_insights(await ask(house, account="ada"))).splitlines()
    assert lines[0] == "What works"
    assert "Posts of the format list rank 20 points of 100 higher." in lines[1] + lines[2]
    assert any("By hour, the last 28 days" in line for line in lines)
    [line] = [line for line in lines if "9:00" in line]
    assert line.split()[:3] == ["9:00", "4", "60"]
    assert line.split()[-3:] == ["3.0", "1.0", "100.0"]


async def test_that_nothing_was_found_is_said(house: House) -> None:
    assert "Nothing was found yet" in shown(render_insights({"findings": [], "sums": []}))
