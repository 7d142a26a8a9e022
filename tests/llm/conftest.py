"""An endpoint that is there."""

from collections.abc import Iterator

import pytest

from tests.llm.endpoint import Endpoint, endpoint


@pytest.fixture
def llm() -> Iterator[Endpoint]:
    with endpoint() as found:
        yield found
