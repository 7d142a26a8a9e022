import hashlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from orchestrator.demo.database import Database, DatabaseVersionError, open_database
from orchestrator.demo.people import People
from orchestrator.demo.posts import Posts, fingerprint
from orchestrator.demo.records import Author, NewPost
from tests.demo.harness import NOON

ADA = Author("ada", "Ada", "", 100, 10, 0, 0, 0)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    with open_database(tmp_path / "db.sqlite3") as database:
        await People(database).add([ADA])
        yield database


@pytest.fixture
def posts(database: Database) -> Posts:
    return Posts(database)


async def accept(posts: Posts, text: str, at: float = NOON) -> str:
    return await posts.accept("ada", text, 100, lambda: at)


def test_the_fingerprint_is_of_the_words_not_of_the_spaces() -> None:
    assert fingerprint(" a\n b\t c ") == fingerprint("a b c") == hashlib.sha256(b"a b c").hexdigest()
    assert fingerprint("ab c") != fingerprint("a b c")


async def test_an_accepted_post_is_in_the_ledger_and_among_the_posts(posts: Posts) -> None:
    reference = await accept(posts, "one\n two")
    [entry] = posts.ledger()
    assert (entry.sequence, entry.reference, entry.account, entry.text) == (1, reference, "ada", "one\n two")
    assert entry.fingerprint == fingerprint("one two")
    post = posts.get(reference)
    assert post is not None
    assert (post.author, post.display_name, post.text, post.accepted_at) == ("ada", "Ada", "one\n two", NOON)


async def test_the_same_text_twice_is_two_posts(posts: Posts) -> None:
    first, second = await accept(posts, "again"), await accept(posts, "again")
    assert first != second
    assert [entry.reference for entry in posts.ledger()] == [first, second]


async def test_posts_accepted_at_once_each_get_one_line_in_the_ledger_without_gaps(posts: Posts) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(accept, posts, f"post {number}")
    entries = posts.ledger()
    assert [entry.sequence for entry in entries] == list(range(1, 101))
    assert {entry.text for entry in entries} == {f"post {number}" for number in range(100)}
    assert posts.ledger(after=98) == entries[98:]


@pytest.mark.parametrize("statement", ["UPDATE ledger SET text = ''", "DELETE FROM ledger"])
async def test_nobody_can_change_the_ledger(database: Database, posts: Posts, statement: str) -> None:
    await accept(posts, "stays")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        await database.execute(statement)
    assert [entry.text for entry in posts.ledger()] == ["stays"]


async def test_a_post_of_an_unknown_account_leaves_no_trace(posts: Posts) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        await posts.accept("nobody", "text", 0, lambda: NOON)
    assert posts.ledger() == []


async def test_a_cancelled_write_is_there_whole_or_not_at_all(posts: Posts) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await accept(posts, "maybe")
    assert len(posts.ledger()) == len(posts.page(before=None, limit=10).posts)
    await accept(posts, "after")
    assert posts.ledger()[-1].text == "after"


async def test_everything_is_there_after_the_database_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "again.sqlite3"
    with open_database(path) as database:
        await People(database).add([ADA])
        reference = await accept(Posts(database), "kept")
    with open_database(path) as database:
        assert [entry.reference for entry in Posts(database).ledger()] == [reference]


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DatabaseVersionError, match="version 99"), open_database(path):
        pass


async def test_a_database_from_before_there_were_replies_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with open_database(path) as database:
        await People(database).add([ADA])
        kept = await accept(Posts(database), "kept")
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP INDEX replies_to; ALTER TABLE posts DROP COLUMN in_reply_to;"
        "ALTER TABLE ledger DROP COLUMN in_reply_to; PRAGMA user_version = 1"
    )
    connection.close()
    with open_database(path) as database:
        posts = Posts(database)
        reply = await posts.accept("ada", "an answer", 100, lambda: NOON, kept)
        assert [(entry.reference, entry.in_reply_to) for entry in posts.ledger()] == [
            (kept, None),
            (reply, kept),
        ]
        assert [post.reference for post in posts.replies_to(kept)] == [reply]


async def test_the_database_keeps_what_it_has_said_it_keeps(database: Database) -> None:
    assert await database.write(
        lambda connection: (
            connection.execute("PRAGMA journal_mode").fetchone()[0],
            connection.execute("PRAGMA synchronous").fetchone()[0],
        )
    ) == ("wal", 2)


async def test_pages_go_through_all_posts_newest_first(posts: Posts) -> None:
    references = [await accept(posts, f"post {number}") for number in range(7)]
    seen: list[str] = []
    before: str | None = None
    while True:
        page = posts.page(before=before, limit=3)
        seen += [post.reference for post in page.posts]
        before = page.next_before
        if before is None:
            break
    assert seen == references[::-1]


async def test_a_page_after_an_unknown_post_is_empty(posts: Posts) -> None:
    await accept(posts, "one")
    assert posts.page(before="nothing", limit=3).posts == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tea"], ["TEA time", "tea & 100% sugar"]),
        (["tea", "time"], ["TEA time"]),
        (["%"], ["tea & 100% sugar"]),
        (["_"], []),
        (["\\"], []),
        (["'; DROP TABLE posts; --"], []),
    ],
)
async def test_search_finds_posts_that_have_all_the_words_as_they_are(
    posts: Posts, words: list[str], found: list[str]
) -> None:
    for text in ("tea & 100% sugar", "coffee", "TEA time"):
        await accept(posts, text)
    assert [post.text for post in posts.page(before=None, limit=9, words=words).posts] == found


async def test_forgotten_posts_of_the_population_stay_counted_and_those_in_the_ledger_stay(
    database: Database, posts: Posts
) -> None:
    people = People(database)
    kept = await accept(posts, "in the ledger")
    await posts.add_population([NewPost("pop1", "ada", "old", NOON)], {"ada": 1}, until=NOON)
    await people.settle("ada", 5, 2)
    author = people.get("ada")
    assert author is not None
    assert await posts.drop_settled(author, before=NOON + 1) == 1
    assert [post.reference for post in posts.after("ada", 0)] == [kept]
    after = people.get("ada")
    assert after is not None
    assert after.posts == author.posts == 2


async def test_followers_of_settled_posts_are_written_down_once(database: Database) -> None:
    people = People(database)
    await people.settle("ada", 5, 2)
    await people.settle("ada", 5, 2)
    author = people.get("ada")
    assert author is not None
    assert (author.gained_followers, author.settled_post) == (5, 2)
