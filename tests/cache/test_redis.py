"""What can go wrong with a Redis server, and that everybody goes on."""

import socket
from functools import partial
from typing import Any

import coredis
import pytest
import trio

from orchestrator.cache.namespace import Level, Namespace
from orchestrator.cache.redis import MAX_CONNECTIONS, RedisStore
from orchestrator.errors import CacheUnavailableError, PartyUnavailableError
from orchestrator.settings.cache import CacheSettings
from tests.cache.house import CacheHouse, Source, open_cache
from tests.redis_server import RedisServer

ANYTHING: Namespace[Any] = Namespace("anything", Level.FIVE_MINUTES, Any)
KEY = "orchestrator:anything.1::a"


async def ask(house: CacheHouse, source: Source, name: str = "a") -> object:
    with trio.fail_after(10):
        return await house.cache.get_or_set(ANYTHING, name, source.read)


async def test_without_the_server_values_are_computed_and_it_is_used_again_when_it_is_back(
    redis: RedisServer,
) -> None:
    async with open_cache(redis.url) as house:
        source = Source()
        await house.until("open")  # nobody asked: it is looked at
        for _ in range(3):
            assert await ask(house, source) == 1
        assert source.asked == 3
        await redis.start()
        await house.until("closed")
        for _ in range(3):
            assert await ask(house, source) == 1
        assert source.asked == 4


async def test_a_server_that_is_killed_and_started_again_is_used_again(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url) as house:
        source = Source()
        for life in range(3):
            await house.until("closed")
            await ask(house, source)
            await ask(house, source)
            assert source.asked == life * 2 + 1, "found, though only one life of the server keeps it"
            redis.kill()
            await ask(house, source)
            assert source.asked == life * 2 + 2
            await ask(house, Source(), "another")
            await redis.start()


async def test_a_server_that_stands_still_costs_little_and_then_nothing(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url) as house:
        await ask(house, Source())
        redis.freeze()
        source = Source(2)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, house, source, str(number))
        assert source.asked == 20
        assert "open" in house.moved
        redis.thaw()
        await house.until("closed")
        assert await ask(house, Source(3)) == 1, "it has kept what it had"


async def test_what_changed_while_the_server_was_away_is_not_read_when_it_is_back(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url) as house:
        for name in ("a", "b", "c"):
            await ask(house, Source("old"), name)
        redis.freeze()
        await house.cache.forget(ANYTHING, "a")
        await house.cache.forget_matching(ANYTHING, "b*")
        redis.thaw()
        source = Source("new")
        with trio.fail_after(10):
            while source.asked < 2:
                found = [await ask(house, source, name) for name in ("a", "b")]
                assert found == ["new", "new"]
        await house.until("closed")
        assert await ask(house, source, "c") == "old"


async def test_what_a_slow_server_may_have_kept_after_all_is_not_read(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url) as house:
        source = Source("old")
        source.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, house, source)
            await source.begun.wait()
            redis.freeze()
            source.gate.set()
        await house.cache.forget(ANYTHING, "a")
        redis.thaw()
        await house.until("closed")
        assert await ask(house, Source("new")) == "new"


@pytest.mark.parametrize(
    "garbage",
    [
        ("SET", KEY, "no JSON"),
        ("SET", KEY, "\ufffd\x01"),
        ("SET", KEY, '{"likes": "of another version"}'),
        ("SETRANGE", KEY, "50000000", "x"),
        ("RPUSH", KEY, "a list"),
        ("HSET", KEY, "a", "hash"),
    ],
    ids=lambda command: f"{command[0]} {command[-1]!r}",
)
async def test_garbage_in_a_key_is_a_miss_and_goes_away(redis: RedisServer, garbage: tuple[str, ...]) -> None:
    numbers: Namespace[dict[str, int]] = Namespace("anything", Level.FIVE_MINUTES, dict[str, int])

    async def read() -> dict[str, int]:
        await trio.lowlevel.checkpoint()
        return {"likes": 1}

    await redis.start()
    redis.do(*garbage)
    async with open_cache(redis.url) as house:
        for _ in range(2):
            assert await house.cache.get_or_set(numbers, "a", read) == {"likes": 1}
        assert house.count("dropped_total", reason="unreadable") == 1
        assert house.count("hits_total", namespace="anything") == 1
        assert redis.do("GET", KEY) == '{"likes":1}'


async def test_a_server_without_room_is_alive_and_what_is_new_is_computed(redis: RedisServer) -> None:
    await redis.start("--maxmemory-policy", "noeviction")
    async with open_cache(redis.url) as house:
        await ask(house, Source("old"))
        redis.do("CONFIG", "SET", "maxmemory", "1")
        source = Source("new")
        for _ in range(4):
            assert await ask(house, source, "b") == "new"
        assert source.asked == 4
        assert house.count("dropped_total", reason="full") == 4
        assert await ask(house, source) == "old", "what is there is read"
        await house.cache.forget(ANYTHING, "a")
        assert redis.all_keys() == [], "and can be forgotten"
        assert house.moved == []
        redis.do("CONFIG", "SET", "maxmemory", "0")
        assert [await ask(house, Source("again"), "c") for _ in range(2)] == ["again"] * 2
        assert redis.all_keys() == ["orchestrator:anything.1::c"]


async def test_a_server_that_evicts_by_itself_is_a_cache_all_the_same(redis: RedisServer) -> None:
    await redis.start("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    async with open_cache(redis.url) as house:
        source = Source("x" * 50_000)
        for number in range(100):
            await ask(house, source, str(number))
        assert source.asked == 100
        assert 0 < len(redis.all_keys()) < 100
        assert house.moved == []


async def test_a_wrong_password_is_told_with_what_to_do(redis: RedisServer) -> None:
    await redis.start("--requirepass", "right")
    async with open_cache(redis.url, password="wrong") as house:
        assert await ask(house, Source(5)) == 5
        await house.until("open")
        with pytest.raises(PartyUnavailableError, match=r"WRONGPASS|invalid username-password"):
            house.breakers.look("cache")
    async with open_cache(redis.url, password="right") as house:
        source = Source(6)
        assert [await ask(house, source) for _ in range(2)] == [6, 6]
        assert source.asked == 1


async def test_a_server_that_takes_no_writes_is_left_alone(redis: RedisServer) -> None:
    await redis.start("--replicaof", "127.0.0.1 1")
    async with open_cache(redis.url) as house:
        source = Source(5)
        for _ in range(4):
            assert await ask(house, source) == 5
        await house.until("open")


async def test_something_that_is_no_redis_server_is_left_alone() -> None:
    async def talk_nonsense(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(1000)
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 1000)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(partial(trio.serve_listeners, talk_nonsense, listeners))
        async with open_cache(f"redis://127.0.0.1:{port}") as house:
            for _ in range(4):
                assert await ask(house, Source(5)) == 5
            await house.until("open")
            assert await ask(house, Source(6)) == 6
        nursery.cancel_scope.cancel()


async def test_cancelled_callers_take_no_connection_along(redis: RedisServer) -> None:
    async with open_cache(redis.url) as house:
        for life in range(15):
            await redis.start()
            await house.until("closed")
            for _ in range(3):  # while it connects anew, and while it asks
                with trio.move_on_after(0.001 * (life % 3)):
                    await ask(house, Source())
            redis.kill()
        await redis.start()
        await house.until("closed")
        source = Source()
        assert [await ask(house, source, "last") for _ in range(2)] == [1, 1]
        assert source.asked == 1


async def wait_for_nothing(client: "coredis.Redis[bytes]") -> None:
    await client.blpop(["orchestrator:nothing"], 30)


async def test_there_are_never_more_than_five_connections_and_they_are_counted(redis: RedisServer) -> None:
    await redis.start()
    store = RedisStore(CacheSettings(url=redis.url))
    async with store.open(), trio.open_nursery() as nursery:
        assert store._client is not None
        for _ in range(MAX_CONNECTIONS + 3):  # each keeps its connection for itself
            nursery.start_soon(wait_for_nothing, store._client)
        with trio.fail_after(10):
            while redis.do("INFO", "clients").partition("blocked_clients:")[2][:1] != "5":
                await trio.sleep(0.02)
        assert store.connections == MAX_CONNECTIONS
        assert redis.do("CLIENT", "LIST").count("name=orchestrator") == MAX_CONNECTIONS
        nursery.cancel_scope.cancel()


async def test_a_store_that_is_not_open_says_so(redis: RedisServer) -> None:
    with pytest.raises(CacheUnavailableError, match="not open"):
        await RedisStore(CacheSettings(url=redis.url)).get("a")


async def test_another_daemon_with_another_prefix_has_other_values(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url) as one, open_cache(redis.url, prefix="staging") as other:
        await ask(one, Source("one"))
        await ask(other, Source("other"))
        await other.cache.forget_matching(ANYTHING, "*")
        assert await ask(one, Source("again")) == "one"


async def test_a_server_on_a_port_is_found(redis: RedisServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    await redis.start("--port", str(port), "--bind", "127.0.0.1")
    async with open_cache(f"redis://127.0.0.1:{port}/1") as house:
        await ask(house, Source(1))
        assert redis.all_keys() == [KEY]


async def test_the_server_is_measured(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url) as house:
        for number in range(3):
            await ask(house, Source(1), str(number))
        await house.cache.probe()
        assert house.cache.figures.entries == 3
        assert house.cache.figures.size_bytes > 100_000
        assert house.cache.figures.connections in range(1, MAX_CONNECTIONS + 1)
