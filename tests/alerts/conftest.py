"""Destinations that are there."""

from collections.abc import Iterator

import pytest

from tests.alerts.webhook import Webhook, webhook


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found
