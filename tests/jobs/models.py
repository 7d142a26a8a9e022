"""Settled posts of a site whose people like bread and questions, for what is learned of them."""

from datetime import timedelta
from random import Random

from tests import rows
from tests.jobs.house import House

TOPICS = {"bread": 0.7, "stars": 0.3}
FORMATS = {"question": 0.15, "tip": -0.15}


async def settle(house: House, count: int, *, seed: int = 1, likes: float = 1.0) -> list[int]:
    """So many more posts of ada that were learned from just now; with `likes` -1 people like the opposite."""
    rng, found = Random(f"{seed}/{count}/{house.moment.now}"), []
    for number in range(count):
        topic, form = rng.choice(list(TOPICS)), rng.choice(list(FORMATS))
        rank = TOPICS[topic] + FORMATS[form] + rng.gauss(0, 0.05) - 0.5
        text = f"{form} {number} of {house.moment.now:%d %H %M} about {topic}, {seed}"
        post_id = await rows.published(house.database, house.stamp(), text)
        await rows.execute(
            house.database,
            "UPDATE posts SET topic = $2, format = $3, hour = $4, published_at = $5 WHERE id = $1",
            post_id, topic, form, rng.randrange(24), house.moment.now - timedelta(minutes=count - number),
        )  # fmt: skip
        await rows.execute(
            house.database,
            "INSERT INTO outcomes VALUES ($1, 'murmur', $2, 3, 1, 90, $3)",
            post_id, min(1.0, max(0.0, 0.5 + likes * rank)), house.moment.now,
        )  # fmt: skip
        found.append(post_id)
    return found
