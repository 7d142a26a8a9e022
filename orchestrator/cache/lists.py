"""Lists that cost visits to read: more is read than is needed, kept, and each time a random part is taken."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Generic, TypeVar

from orchestrator.cache.cache import Cache
from orchestrator.cache.namespace import Level, Namespace

T = TypeVar("T")

MORE = 3
"""So many times what is needed is read."""


class ScrapedLists(Generic[T]):
    """Lists of one kind, kept for an hour. Make it once, at the top of a module.

    `kind` is the type of an item, as pydantic knows it.
    """

    def __init__(self, name: str, kind: object, *, version: int = 1) -> None:
        self.namespace: Namespace[list[T]] = Namespace(
            name,
            Level.HOUR,
            list[kind],  # type: ignore[valid-type]
            version=version,
        )

    async def sample(
        self,
        cache: Cache,
        rng: Random,
        name: str,
        count: int,
        read: Callable[[int], Awaitable[list[T]]],
        *,
        account: str = "",
    ) -> list[T]:
        """`count` random items of the list `name`, or all when it has fewer, in random order.

        `read(limit)` reads up to so many of it. It is asked when nobody has asked for so many of it within
        the hour.
        """
        wanted = MORE * count
        key = f"{name}/{wanted}"
        found = await cache.get_or_set(self.namespace, key, lambda: read(wanted), account=account)
        return rng.sample(found, min(count, len(found)))

    async def forget(self, cache: Cache, name: str) -> None:
        """The list `name` of all accounts; it has changed."""
        await cache.forget_matching(self.namespace, f"{name}/*")
