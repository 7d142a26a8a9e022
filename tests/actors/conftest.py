"""What the tests of the actors share."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What was logged; the tests crash jobs by the dozen, and nobody wants to read of it."""
    with capture_logs() as captured:
        yield captured
