from random import Random

import trio
import trio.testing

from orchestrator.cache.lists import ScrapedLists
from tests.cache.house import open_cache

TRENDS: ScrapedLists[str] = ScrapedLists("trends", str)


class Page:
    """A site's list."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.limits: list[int] = []

    async def read(self, limit: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        self.limits.append(limit)
        return [str(number) for number in range(min(limit, self.length))]


async def test_three_times_more_is_read_than_is_needed_and_each_sample_is_another() -> None:
    page, rng = Page(1000), Random(1)
    async with open_cache() as house:
        samples = [await TRENDS.sample(house.cache, rng, "hot", 10, page.read) for _ in range(20)]
    assert page.limits == [30], "read once"
    assert all(len(set(sample)) == 10 for sample in samples)
    assert {item for sample in samples for item in sample} == {str(number) for number in range(30)}


async def test_a_short_list_is_given_whole() -> None:
    async with open_cache() as house:
        found = await TRENDS.sample(house.cache, Random(1), "hot", 10, Page(4).read)
    assert sorted(found) == ["0", "1", "2", "3"]


async def test_a_list_is_kept_for_an_hour(autojump_clock: trio.testing.MockClock) -> None:
    page = Page(100)
    async with open_cache() as house:
        for wait_s in (0, 3599, 1):
            await trio.sleep(wait_s)
            await TRENDS.sample(house.cache, Random(1), "hot", 5, page.read)
    assert len(page.limits) == 2


async def test_lists_of_other_names_accounts_and_lengths_are_others() -> None:
    page = Page(100)
    async with open_cache() as house:
        for name, count, account in (("hot", 5, ""), ("hot", 6, ""), ("new", 5, ""), ("hot", 5, "ada")):
            await TRENDS.sample(house.cache, Random(1), name, count, page.read, account=account)
        assert page.limits == [15, 18, 15, 15]
        await TRENDS.forget(house.cache, "hot")
        for name, count, account in (("hot", 5, ""), ("hot", 6, ""), ("new", 5, ""), ("hot", 5, "ada")):
            await TRENDS.sample(house.cache, Random(1), name, count, page.read, account=account)
    assert page.limits == [15, 18, 15, 15, 15, 18, 15]


async def test_what_has_expired_is_swept_every_quarter_of_an_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_cache() as house:
        await TRENDS.sample(house.cache, Random(1), "hot", 5, Page(100).read)
        await trio.sleep(3590)
        await house.cache.probe()
        assert house.cache.figures.entries == 1
        await trio.sleep(930)
        await house.cache.probe()
        assert house.cache.figures.entries == 0, "though nobody asked for it"
