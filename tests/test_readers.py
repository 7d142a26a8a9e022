"""The jobs that make contexts scarce in the demo."""

import math

import pytest

from orchestrator.clock import Clock
from orchestrator.db import post_figures
from orchestrator.model import Arms, Ending, Post, PostState
from orchestrator.readers import PAGES, readers
from orchestrator.testing.house import House


def publish(house: House, text: str) -> None:
    """By ada, whose pages reader_2 reads."""
    reference = house.site.accept("ada", text)
    post = Post(1, "ada", text, "", PostState.PUBLISHED, Arms("t", "f", 1), "", house.now, 1, reference)
    house.database.answer(post_figures.recent, [(post, None)])


async def test_a_reader_reads_its_pages_and_says_how_far_it_is(house: House) -> None:
    publish(house, "read me")
    _, reader = readers(2, speed=240)
    outcome = await house.run(reader)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"pages": PAGES})
    assert house.beats[-1] == f"{PAGES - 1} of {PAGES} pages read"


async def test_a_reader_whose_context_is_called_back_gives_it_back_after_the_page(house: House) -> None:
    publish(house, "read me")
    house.site.trouble["read_metrics"].append(house.call_back)
    _, reader = readers(2, speed=240)
    outcome = await house.run(reader)
    assert (outcome.detail, outcome.figures) == ("gave its context back", {"pages": 1})


async def test_a_reader_with_nothing_to_read_takes_no_context(house: House) -> None:
    publish(house, "by ada")
    [reader] = readers(1, speed=240)  # it reads grace's
    assert (await house.run(reader)).ending is Ending.NOTHING_TO_DO


@pytest.mark.parametrize("speed", [1.0, 240.0])
def test_readers_come_round_once_a_real_minute_with_names_and_priorities_of_their_own(speed: float) -> None:
    found = [own.declaration for own in readers(4, speed)]
    assert [(job.name, job.priority) for job in found] == [
        ("reader_1", 4),
        ("reader_2", 6),
        ("reader_3", 8),
        ("reader_4", 4),
    ]
    clock = Clock(speed)
    assert all(math.isclose(clock.real_seconds(job.interval_s), 60) for job in found)
