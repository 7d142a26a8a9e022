"""The cache that the settings describe, and its server as a party that is asked by way of a breaker."""

from orchestrator.breaker import judge_by
from orchestrator.breakers import Breakers, Party, rule_for
from orchestrator.cache.cache import Cache
from orchestrator.cache.memory import MemoryStore
from orchestrator.clock import Clock
from orchestrator.errors import CacheError
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings
from orchestrator.settings.cache import CACHE, CacheSettings


def in_process(settings: CacheSettings, clock: Clock, metrics: Metrics) -> Cache:
    """A cache in this process."""
    store = MemoryStore(max_bytes=settings.max_mb * 1_000_000, max_entries=settings.max_entries)
    return Cache(store, clock=clock, metrics=metrics, max_value_bytes=settings.max_value_kb * 1000)


def make_cache(settings: Settings, breakers: Breakers, clock: Clock, metrics: Metrics) -> Cache:
    """In this process, or in the server of the settings; that one is asked as `cache_parties` says."""
    own = settings.cache
    if own.url is None:
        return in_process(own, clock, metrics)
    from orchestrator.cache.redis import RedisStore  # takes as long to import as a third of all else

    return Cache(
        RedisStore(own),
        clock=clock,
        metrics=metrics,
        max_value_bytes=own.max_value_kb * 1000,
        permit=lambda: breakers.of(CACHE).permit(),
    )


def cache_parties(settings: Settings, cache: Cache) -> list[Party]:
    """The cache's server, if there is one; to be added before the cache is used."""
    if settings.cache.url is None:
        return []
    return [
        Party(
            name=CACHE,
            rule=rule_for(settings.breakers, CACHE, settings.cache.probe_s),
            judge=judge_by(CacheError),
            keeps="the database answers instead, and background jobs run half as often",
            probe=cache.probe,
        )
    ]
