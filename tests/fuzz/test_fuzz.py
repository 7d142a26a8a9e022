"""A short version of `make fuzz`, and that it finds what it looks for."""

from pathlib import Path
from typing import Any

import pytest
import structlog

from orchestrator.control.peers import Caller, Level
from orchestrator.control.server import Verb
from orchestrator.db.pool import Database
from tests.fuzz.batch import batch, make_talks
from tests.fuzz.house import open_doors
from tests.fuzz.watch import watched

FRAMES = 20_000
FIRST = 1
"""The seeds of the short version are the same each time; `make fuzz` draws others."""


@pytest.mark.timeout(600)  # on a machine that is busy
async def test_no_frame_brings_about_an_error_and_every_door_goes_on_answering(
    database: Database, state_dir: Path
) -> None:
    done, number = 0, 0
    with watched() as sink:
        async with open_doors(database, state_dir) as doors:
            while done < FRAMES:
                wrong, count = await batch(doors, FIRST + number, sink)
                assert not wrong, f"make fuzz FRAMES=1 SEED={FIRST + number}\n{wrong}"
                done, number = done + count, number + 1


async def test_a_batch_is_the_same_for_the_same_seed(database: Database, state_dir: Path) -> None:
    async with open_doors(database, state_dir) as doors:
        said = [[talk.stages for talk in make_talks(doors, seed)] for seed in (7, 7, 8)]
    assert said[0] == said[1] != said[2]


async def test_a_verb_that_fails_is_found(database: Database, state_dir: Path) -> None:
    async def fail(_caller: Caller, _args: dict[str, Any]) -> Any:
        raise ZeroDivisionError("a bug")

    with watched() as sink:
        async with open_doors(database, state_dir) as doors:
            doors.verbs["jobs"] = Verb("jobs", Level.VIEW, fail)
            wrong, _ = await batch(doors, 7, sink)
    assert "internal error" in wrong
    assert "ZeroDivisionError: a bug" in wrong


@pytest.mark.parametrize("event", ["error", "exception"])
def test_an_error_in_the_log_is_found(event: str) -> None:
    with watched() as sink:
        log = structlog.get_logger("anybody")
        log.warning("nothing of note")
        assert sink.faults == []
        getattr(log, event)("a fault")
    assert "a fault" in sink.faults[0]
