import trio
import trio.testing

from orchestrator.cache.memory import ENTRY_BYTES, MemoryStore


async def fill(store: MemoryStore, *keys: str, ttl_s: float = 60) -> None:
    for key in keys:
        await store.put(key, b"x" * 100, ttl_s)


async def kept(store: MemoryStore, keys: str) -> str:
    return "".join([key for key in keys if await store.get(key)])


async def test_what_was_used_longest_ago_goes_when_there_are_too_many() -> None:
    store = MemoryStore(max_bytes=10**6, max_entries=3)
    await fill(store, "a", "b", "c")
    await store.get("a")
    await fill(store, "d")
    assert await kept(store, "abcd") == "acd"


async def test_it_never_weighs_more_than_it_may() -> None:
    store = MemoryStore(max_bytes=10 * (ENTRY_BYTES + 101), max_entries=10**6)
    for key in "abcdefghijklmnop":
        await fill(store, key)
        assert (await store.measure()).size_bytes <= 10 * (ENTRY_BYTES + 101)
    assert await kept(store, "abcdefghijklmnop") == "ghijklmnop"
    await store.put("p", b"x" * 2000, 60)
    assert (await store.measure()).size_bytes <= 10 * (ENTRY_BYTES + 101)
    await store.put("large", b"x" * 10_000, 60)
    assert await store.get("large") is None


async def test_a_value_that_takes_the_place_of_another_weighs_alone() -> None:
    store = MemoryStore(max_bytes=10**6, max_entries=10)
    for _ in range(3):
        await fill(store, "a")
    assert (await store.measure()).size_bytes == ENTRY_BYTES + 101
    await store.forget("a")
    assert (await store.measure()).size_bytes == 0


async def test_what_has_expired_is_not_found_and_is_swept(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(max_bytes=10**6, max_entries=10)
    await fill(store, "a", "b", ttl_s=10)
    await fill(store, "c", ttl_s=20)
    await trio.sleep(9)
    assert await kept(store, "abc") == "abc"
    await trio.sleep(1)
    assert await store.get("a") is None
    assert store.sweep() == 1, "b is still held"
    assert (await store.measure()).entries == 1
    assert store.shed() == 1
    assert (await store.measure()).size_bytes == 0
