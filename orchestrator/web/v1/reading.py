"""What can be read over the API: long lists from the database, the rest as the control verbs tell it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from orchestrator.db import listing
from orchestrator.db.listing import Listing
from orchestrator.errors import NotReadyError
from orchestrator.health.status import House
from orchestrator.web.v1 import documents
from orchestrator.web.v1.cursor import Cursors
from orchestrator.web.v1.documents import CursorPage, OffsetPage
from orchestrator.web.v1.endpoint import Asked

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Asks a control verb."""

MAX_ACCOUNTS = 20_000
"""What the verb gives at most."""
AT_ONCE = 3
"""Requests that use the database at once, so that readers leave connections to the jobs."""

Long = TypeVar("Long", bound=CursorPage[Any])
Short = TypeVar("Short", bound=OffsetPage[Any])
T = TypeVar("T")


class Reading:
    """The handlers of everything that changes nothing."""

    def __init__(self, house: House, ask: Ask, cursors: Cursors) -> None:
        self._house = house
        self._ask = ask
        self._cursors = cursors
        self._room = trio.CapacityLimiter(AT_ONCE)

    # ── short lists, and single documents ───────────────────────────────────────────────────────

    async def jobs(self, asked: Asked) -> documents.Jobs:
        wanted = asked.query.state
        rows = (await self._ask("jobs", {}))["jobs"]
        return _cut(documents.Jobs, [row for row in rows if wanted in (None, row["state"])], asked)

    async def job(self, asked: Asked) -> documents.OneJob:
        name = asked.path.job
        lines = (await self._ask_stored(asked, "why", job=name))["lines"]
        [row] = [row for row in (await self._ask("jobs", {}))["jobs"] if row["name"] == name]
        return documents.OneJob(**row, lines=lines)

    async def accounts(self, asked: Asked) -> documents.Accounts:
        rows = (await self._ask_stored(asked, "accounts", limit=MAX_ACCOUNTS))["accounts"]
        return _cut(documents.Accounts, rows, asked)

    async def post(self, asked: Asked) -> documents.OnePost:
        found = await self._ask_stored(asked, "post", post=asked.path.post)
        return documents.OnePost(**found["post"], next=found["next"])

    async def leases(self, _asked: Asked) -> documents.Leases:
        return documents.Leases(**await self._ask("queue", {}))

    async def insights(self, asked: Asked) -> documents.Insights:
        account = asked.query.account
        found = await self._ask_stored(asked, "insights", **({} if account is None else {"account": account}))
        return documents.Insights(**found)

    async def budget(self, asked: Asked) -> documents.Budget:
        return documents.Budget(**await self._ask_stored(asked, "budget"))

    # ── long lists ──────────────────────────────────────────────────────────────────────────────

    async def runs(self, asked: Asked) -> documents.Runs:
        return await self._page(documents.Runs, listing.RUNS, asked)

    async def run(self, asked: Asked) -> documents.Run:
        return documents.Run(**await self._run(asked, listing.find, listing.RUNS, asked.path.run))

    async def posts(self, asked: Asked) -> documents.Posts:
        return await self._page(documents.Posts, listing.POSTS, asked)

    async def replies(self, asked: Asked) -> documents.Posts:
        return await self._page(documents.Posts, listing.REPLIES, asked)

    async def drafts(self, asked: Asked) -> documents.Posts:
        return await self._page(documents.Posts, listing.DRAFTS, asked)

    async def alerts(self, asked: Asked) -> documents.Alerts:
        return await self._page(documents.Alerts, listing.ALERTS, asked)

    async def alert(self, asked: Asked) -> documents.Alert:
        return documents.Alert(**await self._run(asked, listing.find, listing.ALERTS, asked.path.alert))

    async def models(self, asked: Asked) -> documents.Models:
        return await self._page(documents.Models, listing.MODELS, asked)

    async def opportunities(self, asked: Asked) -> documents.Opportunities:
        return await self._page(documents.Opportunities, listing.OPPORTUNITIES, asked)

    async def opportunity(self, asked: Asked) -> documents.Opportunity:
        row = await self._run(asked, listing.find, listing.OPPORTUNITIES, asked.path.opportunity)
        return documents.Opportunity(**row)

    async def model(self, asked: Asked) -> documents.Model:
        return documents.Model(**await self._run(asked, listing.find, listing.MODELS, asked.path.version))

    async def _page(self, kind: type[Long], wanted: Listing, asked: Asked) -> Long:
        """A page of a long list; one row more is read, to know whether there is a next page."""
        query, filters = asked.query, asked.query.filters()
        beyond = None
        if query.cursor is not None:
            beyond = self._cursors.open(wanted.name, filters, query.cursor)
        rows = await self._run(asked, listing.page, wanted, filters, beyond, query.limit + 1)
        items = rows[: query.limit]
        following = None
        if len(rows) > len(items):
            following = self._cursors.seal(wanted.name, filters, listing.key_of(wanted, items[-1]))
        return kind(items=items, next_cursor=following)

    async def _run(self, asked: Asked, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Read something of the database. Raises NotReadyError and DatabaseError."""
        database = self._house.database
        if database is None or self._house.supervisor is None:  # before the jobs the tables may not be there
            raise NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")

        async with self._turn(asked):
            return await database.run(work, *args, read_only=True)

    async def _ask_stored(self, asked: Asked, verb: str, **args: Any) -> Any:
        """Ask a verb that reads the database."""
        async with self._turn(asked):
            return await self._ask(verb, args)

    @asynccontextmanager
    async def _turn(self, asked: Asked) -> AsyncIterator[None]:
        """One of the turns that there are for requests that use the database."""
        async with self._room:
            asked.mark("turn for the database")
            yield
        asked.mark("database")


def _cut(kind: type[Short], rows: list[Any], asked: Asked) -> Short:
    """The page of a list that is in memory."""
    query = asked.query
    cut = rows[query.offset :][: query.limit]
    return kind(items=cut, total=len(rows), offset=query.offset, limit=query.limit)
