"""What the feed shows besides the status document."""

from typing import Any

from orchestrator.web.feed.look import Look
from orchestrator.web.feed.timeline import Timeline
from tests.fakes import Work, a_job, a_stage, make_house


async def test_what_waits_for_a_person_is_there_by_its_number() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def ask(verb: str, args: dict[str, Any]) -> dict[str, Any]:
        asked.append((verb, args))
        post = {"id": 7, "account": "ada", "in_reply_to": "r1"}
        return {"posts": [post | {"state": args.get("state")}], "alerts": [], "is_set": False}

    async with a_stage([a_job("plan", Work())]) as stage:
        look = Look(make_house(stage), Timeline(), ask)
        document = await look()
    assert document["doubts"]["7"]["state"] == "ambiguous"
    assert document["drafts"]["7"]["state"] == "draft"
    assert ("posts", {"state": "ambiguous", "limit": 20}) in asked
