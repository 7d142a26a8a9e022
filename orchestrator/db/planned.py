"""Drafts that `plan` has written, queued together with what models say of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.db import models, posts
from orchestrator.db.models import Prediction
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.model import Draft


@dataclass(frozen=True, slots=True)
class Planned:
    """A draft, and what each model in use expects of it."""

    draft: Draft
    said: Sequence[Prediction]


async def keep(connection: Connection, planned: Sequence[Planned], stamp: Stamp) -> list[int | None]:
    """Queue drafts, in one transaction; of each its id, or None when its account has the text already."""
    ids = await posts.add_all(connection, [one.draft for one in planned], stamp)
    said = [
        (post_id, *prediction)
        for post_id, one in zip(ids, planned, strict=True)
        if post_id is not None
        for prediction in one.said
    ]
    if said:
        await models.note(connection, said)
    return ids
