"""What the house says of a database that is away."""

import socket

import pytest

from orchestrator import aio, wiring
from orchestrator.db.pool import open_database
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.settings import Settings


async def remedy_of_a_database_that_is_away(settings: Settings) -> str:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    async with (
        aio.open_bridge(),
        open_database(f"postgresql://u@127.0.0.1:{port}/x", settings.database) as database,
    ):
        with pytest.raises(DatabaseUnavailableError, match="the database can't be reached") as caught:
            await wiring.ping(database, settings)
    return caught.value.remedy


async def test_who_runs_a_database_of_his_own_is_told_to_start_it() -> None:
    settings = Settings.load(
        overrides={"database": {"dsn": "postgresql://u@db.example.org/posts"}}, environ={}
    )
    assert await remedy_of_a_database_that_is_away(settings) == "Start the server, or correct database.dsn"


async def test_who_runs_the_embedded_database_is_told_where_its_log_is() -> None:
    settings = Settings.load(overrides={"state_dir": "/srv/state"}, environ={})
    assert "/srv/state/postgres/postgres.log" in await remedy_of_a_database_that_is_away(settings)
