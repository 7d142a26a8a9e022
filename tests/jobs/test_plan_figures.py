"""A post that an account makes of its own week."""

from orchestrator.db.pool import Database
from orchestrator.jobs import plan
from orchestrator.testing.house import settings_for
from tests import rows
from tests.jobs.house import make_house, new_fence


async def test_once_a_week_an_account_tells_its_own_figures(database: Database) -> None:
    settings = settings_for(content={"figures": True, "queue_target": 50})
    house = make_house(database, await new_fence(database), settings)
    for number, likes in ((1, 3), (2, 8)):
        post_id = await house.queued(f"Tip: text number {number} of mine.\n#books", "ada")
        await rows.execute(
            database,
            "UPDATE posts SET state = 'published', reference = $1::text, published_at = $2 WHERE id = $3",
            str(number),
            house.moment.now,
            post_id,
        )
        await rows.execute(
            database, "INSERT INTO post_metrics VALUES ($1, $2, $3, 0, 40)", post_id, house.moment.now, likes
        )
    for _ in range(2):
        house.moment.go(hours=2)
        await plan.plan(house.run(plan.NAME, priority=1), house.tools)
    told = [one for one in await rows.all_rows(database) if one["source"] == "figures:week"]
    figures = "2 posts, 11 likes and 80 views in a week."
    best = "You liked this one most, 8 times: Tip: text number 2 of mine."
    assert [(one["account"], one["text"]) for one in told] == [("ada", f"{figures} {best}\n#bread")]
