"""What `/health` says besides `/readyz`: memory and connections."""

from orchestrator.db.pool import Database
from orchestrator.health.status import usage
from tests.fakes import a_job, a_stage, make_house


async def test_memory_and_connections_are_told() -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.memory = {"daemon": 100, "browser": 200}
        house.count_clients("http", 2)
        house.count_clients("control", 1)
        told = usage(house)
    assert told["memory"] == {"daemon_bytes": 100, "browser_bytes": 200}
    nothing = {"used": 0, "idle": 0, "most": 0}
    assert told["connections"] == {"http": 2, "control": 1, "database": nothing, "cache": 0}


async def test_the_databases_connections_are_told(database: Database) -> None:
    async with a_stage([a_job("plan")]) as stage:
        told = usage(make_house(stage, database))
    assert told["connections"]["database"]["most"] == database.statistics().max_size
