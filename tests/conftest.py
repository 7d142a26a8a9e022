"""What every test gets: logging as it was before, and the database fixtures."""

import importlib.util
import logging
import signal
from collections.abc import Iterator

import pytest
import structlog

from orchestrator import log

pytest_plugins = ["tests.fixtures_db"] if importlib.util.find_spec("tests.fixtures_db") else []


def pytest_configure() -> None:
    """A shell starts what runs in the background with SIGINT ignored, and children would ignore it too.

    What each request's bytes do is of no help when a test fails.
    """
    logging.getLogger("httpcore").setLevel(logging.INFO)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    """Logging is the process's: a test that sets it up must not change the next one."""
    yield
    log.unconfigure()
    structlog.contextvars.clear_contextvars()
