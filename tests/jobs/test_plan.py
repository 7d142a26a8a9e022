"""Planning: what is written, for when, and how much of it."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from orchestrator.content.sources import MarkdownFolder, Reading, Snippet
from orchestrator.content.templates import Templates
from orchestrator.content.writer import Stock
from orchestrator.db import learned
from orchestrator.db.pool import Database
from orchestrator.errors import ContentError, DatabaseUnavailableError, FenceLostError
from orchestrator.jobs import plan as job
from orchestrator.jobs.plan import plan
from orchestrator.jobs.posting import post_one
from orchestrator.model import Ending, Outcome
from orchestrator.settings import ContentSettings
from orchestrator.testing.house import SITE, settings_for
from tests import rows
from tests.fakes_db import raising
from tests.jobs.house import House, make_house, new_fence
from tests.rows import NOON

HOUR = timedelta(hours=1)


async def write(house: House) -> Outcome:
    return await plan(house.run(job.NAME, priority=1), house.tools)


async def of(house: House, account: str) -> list[rows.Row]:
    return [found for found in await rows.all_rows(house.database) if found["account"] == account]


async def test_a_run_queues_two_drafts_for_each_account(house: House) -> None:
    outcome = await write(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"queued": 4, "refused": 0, "dry": 0})
    for account in ("ada", "grace"):
        assert [found["state"] for found in await of(house, account)] == ["queued", "queued"]


async def test_a_queue_is_filled_to_its_target_and_no_further(house: House) -> None:
    for _ in range(2):
        await write(house)
    assert (await write(house)).ending is Ending.NOTHING_TO_DO
    assert len(await of(house, "ada")) == house.tools.settings.content.queue_target == 4


async def test_what_is_published_makes_room(house: House) -> None:
    for _ in range(2):
        await write(house)
    house.moment.go(hours=1)
    await post_one(house.run("posting"), house.tools)
    assert (await write(house)).figures["queued"] == 1


async def test_the_very_first_post_of_an_account_is_due_at_once_and_the_next_ones_are_not(
    house: House,
) -> None:
    await write(house)
    due = [found["due_at"] for found in await of(house, "ada")]
    assert due[0] == NOON
    assert NOON < due[1] <= NOON + 12 * HOUR


async def test_a_post_is_due_in_the_hour_that_was_chosen_in_the_accounts_own_zone(house: House) -> None:
    for _ in range(2):
        await write(house)
    for found in await of(house, "grace"):
        assert found["due_at"].astimezone(ZoneInfo("Europe/Berlin")).hour == found["hour"]
    for found in await of(house, "ada"):
        assert found["due_at"].hour == found["hour"]


@pytest.mark.parametrize(
    "now",
    [
        "2026-03-28T23:30",  # two hours before Berlin's clocks skip an hour
        "2026-10-24T23:30",  # … or show one twice
        "2026-05-04T21:59:59.999999",
    ],
)
async def test_every_post_is_due_within_the_horizon_whatever_the_clocks_do(
    database: Database, now: str
) -> None:
    often = {"start_per_hour": 12, "max_per_hour": 12}
    settings = settings_for(content={"queue_target": 20, "posts_a_run": 10, "horizon_h": 6}, pacing=often)
    house = make_house(database, await new_fence(database), settings)
    house.moment.now = datetime.fromisoformat(now).replace(tzinfo=UTC)
    await write(house)
    await write(house)
    due = [found["due_at"] for found in await of(house, "grace")]
    assert len(due) == 20
    assert all(house.moment.now <= moment <= house.moment.now + 6 * HOUR for moment in due)


async def test_what_was_learned_is_followed(house: House) -> None:
    liked = [("topic", "cooking", 500.0, 1.0), ("format", "tip", 500.0, 1.0)]
    await house.database.run(learned.store, SITE, [], liked, house.tools.fence.number, NOON)
    for _ in range(2):
        await write(house)
    found = await rows.all_rows(house.database)
    assert {(one["topic"], one["format"]) for one in found} == {("cooking", "tip")}


async def test_no_text_is_written_twice_for_an_account(database: Database) -> None:
    settings = settings_for(content={"queue_target": 60, "posts_a_run": 10})
    house = make_house(database, await new_fence(database), settings)
    for _ in range(6):
        await write(house)
    texts = [found["fingerprint"] for found in await of(house, "ada")]
    assert len(texts) == 60 == len(set(texts))


async def test_drafts_fit_the_site_and_the_settings(database: Database) -> None:
    settings = settings_for(content={"max_chars": 90, "queue_target": 20, "posts_a_run": 10})
    house = make_house(database, await new_fence(database), settings)
    await write(house)
    found = await rows.all_rows(house.database)
    assert found
    assert all(len(one["text"]) <= 90 for one in found)


async def test_an_account_that_is_left_with_nothing_to_post_is_named(database: Database) -> None:
    """No text is as long as what is asked for here."""
    settings = settings_for(content={"min_chars": 279, "max_chars": 280})
    house = make_house(database, await new_fence(database), settings)
    with pytest.raises(ContentError, match="no new text for ada, grace that passes the gates"):
        await write(house)
    assert await rows.all_rows(database) == []


async def test_a_folder_without_a_text_leaves_nothing_to_post(database: Database, tmp_path: Path) -> None:
    house = make_house(database, await new_fence(database), settings_for(content={"folder": tmp_path}))
    with pytest.raises(ContentError, match="no unused text for ada, grace"):
        await write(house)


def write_texts(folder: Path, topic: str, *texts: str) -> None:
    (folder / f"{topic}.md").write_text(f'+++\ntopic = "{topic}"\n+++\n' + "\n---\n".join(texts))


async def test_while_posts_wait_a_draft_that_is_refused_is_no_error(
    database: Database, tmp_path: Path
) -> None:
    write_texts(tmp_path, "knitting", "Tip: no.")
    house = make_house(database, await new_fence(database), settings_for(content={"folder": tmp_path}))
    for account in ("ada", "grace"):
        await house.queued(f"a text of {account}'s", account)
    outcome = await write(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"queued": 0, "refused": 4, "dry": 0})
    assert outcome.detail == "the gates refused every draft"


async def test_that_every_text_is_used_is_told_as_what_it_is(database: Database, tmp_path: Path) -> None:
    """Each account has the folder's only text; the gates have nothing to do with it."""
    write_texts(tmp_path, "knitting", "Tip: count the stitches of a row.")
    house = make_house(database, await new_fence(database), settings_for(content={"folder": tmp_path}))
    for account in ("ada", "grace"):
        await house.queued("Tip: count the stitches of a row. #knitting", account)
    with capture_logs() as logs:
        outcome = await write(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"queued": 0, "refused": 0, "dry": 4})
    assert outcome.detail == "no unused text is left for ada, grace"
    assert "no_unused_text" in [entry["event"] for entry in logs]


async def test_a_topic_that_is_used_up_makes_room_for_another(database: Database, tmp_path: Path) -> None:
    house = make_house(database, await new_fence(database), settings_for(content={"folder": tmp_path}))
    loved = [("topic", "knitting", 500.0, 1.0), ("topic", "cooking", 1.0, 500.0)]
    await house.database.run(learned.store, SITE, [], loved, house.tools.fence.number, NOON)
    write_texts(tmp_path, "knitting", "Tip: count the stitches of a row.")
    write_texts(tmp_path, "cooking", "Tip: salt the water before the pasta goes in.")
    for account in ("ada", "grace"):
        await house.queued("Tip: count the stitches of a row. #knitting", account)
    await write(house)
    assert "cooking" in {found["topic"] for found in await of(house, "ada")}


async def test_texts_that_were_used_long_ago_stay_used(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """More posts than are compared with a new text: what is found used in the database alone costs a turn."""
    monkeypatch.setattr(job, "RECENT_TEXTS", 1)
    texts = small_stock(house.tools.settings.content)
    monkeypatch.setattr(house.tools.writer, "_read", lambda: texts)
    for _ in range(8):
        outcome = await write(house)
        assert outcome.figures["refused"] == 0
        await rows.execute(
            house.database,
            "UPDATE posts SET state = 'published', reference = id::text, published_at = due_at "
            "WHERE state = 'queued'",
        )
        house.moment.go(hours=1)
    assert len(await of(house, "ada")) == 16


def small_stock(settings: ContentSettings) -> Stock:
    """Twenty texts."""
    texts = [f"Tip {number}: " + " ".join(f"w{number}x{k}" for k in range(9)) for number in range(20)]
    snippets = tuple(Snippet(text, "knitting", "tip", "knit.md") for text in texts)
    return Stock(snippets, Templates({}, {}), settings)


async def test_while_texts_are_read_and_written_everything_else_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that waits for something that only another task can do."""
    is_let_go = threading.Event()
    read = MarkdownFolder.read

    def read_slowly(folder: MarkdownFolder) -> Reading:
        assert is_let_go.wait(timeout=30)
        return read(folder)

    monkeypatch.setattr(MarkdownFolder, "read", read_slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, house)
        await trio.testing.wait_all_tasks_blocked()
        is_let_go.set()
    assert await of(house, "ada")


async def test_a_draft_whose_answer_was_lost_is_there_once(house: House) -> None:
    house.database.after("keep", raising(DatabaseUnavailableError("away")))
    with pytest.raises(DatabaseUnavailableError):
        await write(house)
    for _ in range(3):
        await write(house)
    assert [len(await of(house, account)) for account in ("ada", "grace")] == [4, 4]


async def test_a_daemon_that_was_overtaken_queues_nothing(house: House) -> None:
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await write(house)
    assert await rows.all_rows(house.database) == []
