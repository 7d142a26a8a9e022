import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, redis_server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server that is not started yet."""
    # A socket's path has room for about a hundred characters, and pytest's own are longer.
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, redis_server(Path(directory)) as server:
        yield server
