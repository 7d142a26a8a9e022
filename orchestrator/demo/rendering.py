"""Turns templates into pages: what every page shows, and how texts, moments and people look in HTML."""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.clock import Clock
from orchestrator.demo.accounts import Accounts, Visitor
from orchestrator.demo.audience import HOUR_S, Audience, Counts
from orchestrator.demo.people import People
from orchestrator.demo.population import DAY_S
from orchestrator.demo.posts import Posts
from orchestrator.demo.reading import TOPICS
from orchestrator.demo.records import Author, Page, Post

HERE = Path(__file__).parent
_HUES = 12
_SUGGESTED = 5
_TAG = re.compile(r"(#\w+)")


@dataclass(frozen=True, slots=True)
class ShownReply:
    """An answer below a post: one of the audience, or an account's own, which has a page."""

    name: str
    text: str
    at: float
    author: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class ShownPost:
    """A post with its counts at the moment of the page."""

    post: Post
    counts: Counts


class Renderer:
    """The templates, and what all of them need."""

    def __init__(
        self, accounts: Accounts, people: People, posts: Posts, audience: Audience, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._posts = posts
        self._people = people
        self._audience = audience
        self._clock = clock
        self._environment = _environment()
        self._environment.globals.update(
            ago=self._ago, topics=TOPICS, stylesheet=f"/static/murmur.css?v={_version('murmur.css')}"
        )

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        visitor: Visitor | None = None,
        **values: Any,
    ) -> HTMLResponse:
        visitor = visitor or self._accounts.visitor(request)
        html = self._environment.get_template(template).render(
            me=visitor.author,
            form_token=self._accounts.form_token(visitor),
            suggestions=self._suggestions(visitor.author),
            path=request.url.path,
            **values,
        )
        return HTMLResponse(html, status)

    def shown(self, post: Post) -> ShownPost:
        counts = self._audience.counts(post, self._clock.timestamp())
        own = len(self._posts.replies_to(post.reference))
        return ShownPost(post, replace(counts, replies=counts.replies + own))

    def posts(self, page: Page) -> list[ShownPost]:
        return [self.shown(post) for post in page.posts]

    def replies(self, post: Post, limit: int) -> list[ShownReply]:
        """All that accounts have answered and the newest `limit` of the audience, oldest first."""
        audience = self._audience.replies(post, self._clock.timestamp(), limit)
        own = self._posts.replies_to(post.reference)
        shown = [
            *(ShownReply(one.name, one.text, one.at) for one in audience),
            *(
                ShownReply(one.display_name, one.text, one.accepted_at, one.author, one.reference)
                for one in own
            ),
        ]
        return sorted(shown, key=lambda one: one.at)

    def _suggestions(self, me: Author | None) -> list[Author]:
        others = (author for author in self._people.everybody() if me is None or author.name != me.name)
        return [author for author, _ in zip(others, range(_SUGGESTED), strict=False)]

    def _ago(self, moment: float) -> str:
        age_s = max(0.0, self._clock.timestamp() - moment)
        if age_s < 60:
            return "just now"
        if age_s < HOUR_S:
            return f"{age_s // 60:.0f} min ago"
        if age_s < DAY_S:
            return f"{age_s // HOUR_S:.0f} h ago"
        return f"{datetime.fromtimestamp(moment, UTC):%-d %b}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        linked=linked, iso=iso, full_date=_full_date, hue=_hue, initials=_initials, address=quote_plus
    )
    return environment


@lru_cache(maxsize=1024)
def linked(text: str) -> Markup:
    """The text as HTML with its hashtags as links; read back as plain text it is unchanged."""
    parts = (
        Markup('<a class="tag" href="/search?q={}">{}</a>').format(quote_plus(part), part)
        if part.startswith("#") and len(part) > 1
        else escape(part)
        for part in _TAG.split(text)
    )
    return Markup("").join(parts)


def iso(moment: float) -> str:
    """2026-05-01T12:00:00Z."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _full_date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%A %-d %B %Y, %H:%M} UTC"


def _hue(name: str) -> int:
    return hashlib.sha256(name.lower().encode()).digest()[1] % _HUES


def _initials(name: str) -> str:
    words = [word for word in re.split(r"[\s&.-]+", name) if word and word != "The"]
    return "".join(word[0] for word in words[:2]).upper() or "?"


def _version(file: str) -> str:
    return hashlib.sha256((HERE / "static" / file).read_bytes()).hexdigest()[:8]
