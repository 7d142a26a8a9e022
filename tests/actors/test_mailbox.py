import pytest
import trio
import trio.testing

from orchestrator.actors.mailbox import Kind, Mailbox, Wake

PLAN_IS_DONE = Wake(Kind.EVENT, "plan is done")


async def test_a_wake_that_came_before_is_taken_at_once() -> None:
    mailbox = Mailbox()
    mailbox.put(PLAN_IS_DONE)
    assert await mailbox.take() == PLAN_IS_DONE


async def test_a_wake_ends_the_wait_of_the_taker(autojump_clock: object) -> None:
    mailbox = Mailbox()
    taken = []

    async def take() -> None:
        taken.append(await mailbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        assert taken == []
        mailbox.put(PLAN_IS_DONE)
    assert taken == [PLAN_IS_DONE]


async def test_nothing_is_taken_when_the_patience_ends(autojump_clock: object) -> None:
    start = trio.current_time()
    assert await Mailbox().take(30) is None
    assert trio.current_time() - start == 30


async def test_any_number_of_wakes_is_one(autojump_clock: object) -> None:
    mailbox = Mailbox()
    for number in range(1000):
        mailbox.put(Wake(Kind.EVENT, f"event {number}"))
    assert await mailbox.take() == Wake(Kind.EVENT, "event 0")
    assert await mailbox.take(1) is None


@pytest.mark.parametrize("kinds", [(Kind.POKE, Kind.EVENT, Kind.ASKED), (Kind.ASKED, Kind.EVENT, Kind.POKE)])
async def test_the_wake_that_asks_for_most_is_kept_whenever_it_came(kinds: tuple[Kind, ...]) -> None:
    mailbox = Mailbox()
    for kind in kinds:
        mailbox.put(Wake(kind, kind.name))
    assert await mailbox.take() == Wake(Kind.ASKED, "ASKED")


async def test_a_wake_that_comes_after_a_take_is_a_new_one() -> None:
    mailbox = Mailbox()
    mailbox.put(Wake(Kind.ASKED, "asked by alice"))
    await mailbox.take()
    mailbox.put(Wake(Kind.POKE))
    assert await mailbox.take() == Wake(Kind.POKE)


async def test_a_cancelled_taker_leaves_the_wake_to_the_next(autojump_clock: object) -> None:
    mailbox = Mailbox()
    mailbox.put(PLAN_IS_DONE)
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.take()
    assert scope.cancelled_caught
    assert await mailbox.take(1) == PLAN_IS_DONE


async def test_a_wake_that_comes_as_the_patience_ends_is_not_lost(
    autojump_clock: object,
) -> None:
    mailbox = Mailbox()
    taken: list[Wake | None] = []

    async def take() -> None:
        taken.append(await mailbox.take(30))

    async def put() -> None:
        await trio.sleep(30)
        mailbox.put(PLAN_IS_DONE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(put)
    taken.append(await mailbox.take(1))
    assert taken.count(PLAN_IS_DONE) == 1
