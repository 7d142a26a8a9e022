"""What every test gets: logging as it was before, and the database fixtures."""

import importlib.util
from collections.abc import Iterator

import pytest
import structlog

from orchestrator import log

pytest_plugins = ["tests.fixtures_db"] if importlib.util.find_spec("tests.fixtures_db") else []


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    """Logging is the process's: a test that sets it up must not change the next one."""
    yield
    log.unconfigure()
    structlog.contextvars.clear_contextvars()
