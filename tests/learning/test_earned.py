"""What `make bench ARGS=learning` measures, in small: the bundled audience, one seed, fewer posts."""

import trio

from bench.learning import Way, posts_until_rolled_back
from orchestrator.content.writer import Writer
from orchestrator.settings import ContentSettings

POSTS = 200


def test_learning_earns_more_than_chance_and_a_spoiled_model_is_rolled_back() -> None:
    stock = trio.run(Writer(ContentSettings()).read)
    learning, chance = Way(1, stock, learns=True), Way(1, stock, learns=False)
    learning.go(POSTS)
    chance.go(POSTS)
    assert sum(learning.earned()) > 1.5 * sum(chance.earned())
    assert learning.serving is not None
    assert posts_until_rolled_back(learning) < 100
