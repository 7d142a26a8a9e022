from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from orchestrator.demo.accounts import Account, Accounts, Visitor, hash_password, is_password
from orchestrator.demo.database import Database, open_database
from orchestrator.demo.people import People
from orchestrator.demo.records import Author
from tests.demo.harness import Moment

ADA = Account("ada", "secret", "Ada")
SOMEBODY = Visitor(None, "a-key")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    with open_database(tmp_path / "db.sqlite3") as database:
        people = People(database)
        await people.add([Author("ada", "Ada", "", 0, 0, 0, 0, 0)])
        await people.set_accounts({"ada": "Ada"})
        yield database


@pytest.fixture
def accounts(database: Database, moment: Moment) -> Accounts:
    return Accounts(People(database), moment.clock(), b"form secret")


def test_a_password_is_recognised_and_no_other() -> None:
    stored = hash_password("pässword")
    assert is_password("pässword", stored)
    assert not is_password("password", stored)
    assert "pässword" not in stored


def test_the_same_password_is_stored_differently_each_time() -> None:
    assert hash_password("x") != hash_password("x")


async def test_a_changed_password_replaces_the_old_one(accounts: Accounts, database: Database) -> None:
    await accounts.provision({"ada": ADA})
    before = People(database).password("ada")
    await accounts.provision({"ada": ADA})
    assert People(database).password("ada") == before
    await accounts.provision({"ada": Account("ada", "new", "Ada")})
    assert await accounts.sign_in("ada", "new") is not None
    assert await accounts.sign_in("ada", "secret") is None


async def test_a_sign_in_waits_until_the_passwords_are_known(accounts: Accounts) -> None:
    tokens: list[str | None] = []

    async def sign_in() -> None:
        tokens.append(await accounts.sign_in("ada", "secret"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sign_in)
        await trio.testing.wait_all_tasks_blocked()
        assert tokens == []
        await accounts.provision({"ada": ADA})
    assert tokens[0] is not None


async def test_the_database_has_no_token_that_signs_anybody_in(
    accounts: Accounts, database: Database
) -> None:
    await accounts.provision({"ada": ADA})
    token = await accounts.sign_in("ada", "secret")
    [(stored,)] = database.all("SELECT token_hash FROM sessions")
    assert stored != token


async def test_a_form_token_is_good_for_its_visitor_only(accounts: Accounts) -> None:  # noqa: ASYNC124 - async fixtures
    token = accounts.form_token(SOMEBODY)
    assert accounts.is_form_token(SOMEBODY, token)
    assert not accounts.is_form_token(Visitor(None, "another-key"), token)
    assert accounts.form_token(SOMEBODY) != token


@pytest.mark.parametrize("token", ["", "short", "x" * 80, "é" * 80])
async def test_a_made_up_form_token_is_refused(accounts: Accounts, token: str) -> None:  # noqa: ASYNC124 - async fixtures
    assert not accounts.is_form_token(SOMEBODY, token)


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(ADA)
    assert "a-key" not in repr(SOMEBODY)
