"""RSS and Atom feeds as texts: fetched past a breaker and within limits, as robots.txt allows."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
import trio

from orchestrator.breaker import judge_by
from orchestrator.breakers import Breakers, Party, rule_for
from orchestrator.content import formats
from orchestrator.content.prompts import hashtag
from orchestrator.content.sources import Snippet
from orchestrator.errors import BreakerOpenError, FeedError, FeedUnavailableError
from orchestrator.robots import AGENT, MAX_ROBOTS_BYTES, Robots
from orchestrator.settings import Settings
from orchestrator.settings.feeds import FEED_PREFIX, FeedSettings

if TYPE_CHECKING:  # they take a while to import, and most houses have no feed
    import httpx

MAX_FEED_BYTES = 2 << 20
FETCH_TIMEOUT_S = 20.0
"""One answer, however slowly it comes."""
MAX_ENTRIES = 50
"""The first ones of a feed; the rest is old."""

_TAG = re.compile(r"<[^>]*>")

log = structlog.get_logger("feeds")


@dataclass(frozen=True, slots=True)
class _Copy:
    """A feed as it was when it was last read, and how to ask whether it has changed."""

    snippets: tuple[Snippet, ...] = ()
    etag: str = ""
    last_modified: str = ""


def feed_parties(settings: Settings) -> list[Party]:
    """Each feed, without a probe: its next reading is one."""
    return [
        Party(
            name=FEED_PREFIX + name,
            rule=rule_for(settings.breakers, FEED_PREFIX + name, 2 * FETCH_TIMEOUT_S + 1),
            judge=judge_by(FeedError),
            keeps="what was read of it before is used",
        )
        for name in settings.content.feeds
    ]


class Feeds:
    """The feeds of the settings, with what was last read of each."""

    def __init__(self, feeds: Mapping[str, FeedSettings], breakers: Breakers, max_chars: int) -> None:
        self._feeds = feeds
        self._breakers = breakers
        self._max_chars = max_chars
        self._copies: dict[str, _Copy] = {}

    async def read(self, job: str) -> tuple[Snippet, ...]:
        """The texts of all feeds now; of one that can't be read, those that it had before."""
        if not self._feeds:
            return ()
        import httpx

        async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S) as http, trio.open_nursery() as nursery:
            for name in self._feeds:
                nursery.start_soon(self._refresh, http, name, job)
        return tuple(snippet for name in self._feeds for snippet in self._copy(name).snippets)

    def _copy(self, name: str) -> _Copy:
        return self._copies.get(name, _Copy())

    async def _refresh(self, http: "httpx.AsyncClient", name: str, job: str) -> None:
        try:
            with self._breakers.permit(FEED_PREFIX + name, job):
                self._copies[name] = await self._fetch(http, name, self._copy(name))
        except BreakerOpenError as error:
            log.info("feed_left_alone", feed=name, error=str(error))
        except FeedError as error:
            log.warning("feed_not_read", feed=name, error=str(error))

    async def _fetch(self, http: "httpx.AsyncClient", name: str, copy: _Copy) -> _Copy:
        feed = self._feeds[name]
        await _check_robots(http, feed.url)
        known = {"if-none-match": copy.etag, "if-modified-since": copy.last_modified}
        headers = {header: value for header, value in known.items() if value}
        status, found, body = await _get(http, feed.url, MAX_FEED_BYTES, headers)
        if status == 304:
            return copy
        if 300 <= status < 400:
            to = found.get("location", "elsewhere")
            raise FeedError(f"{feed.url} has moved to {to}", remedy=f"Correct content.feeds.{name}.url")
        if status >= 500 or status == 429:
            raise FeedUnavailableError(f"{feed.url} answers {status}")
        if status != 200:
            raise FeedError(f"{feed.url} answers {status}", remedy=f"Correct content.feeds.{name}.url")
        texts = await trio.to_thread.run_sync(entries, body, feed.url)
        return _Copy(
            tuple(self._snippet(name, title, link) for title, link in texts),
            found.get("etag", ""),
            found.get("last-modified", ""),
        )

    def _snippet(self, name: str, title: str, link: str) -> Snippet:
        topic = self._feeds[name].topic.strip().lower()
        end = f"\n{link}\n{hashtag(topic)}"
        room = self._max_chars - len(end.encode("utf-16-le")) // 2
        text = _cut(title, room) + end
        return Snippet(text, topic, formats.recognise(text), f"{FEED_PREFIX}{name}")


def entries(body: bytes, url: str) -> Sequence[tuple[str, str]]:
    """Title and link of each entry that has both. Raises FeedError for what is no feed."""
    import feedparser

    found = feedparser.parse(io.BytesIO(body))  # a stream: bytes could be taken for the name of a file
    if not found.version:
        raise FeedError(f"{url} is neither RSS nor Atom", remedy="Look whether the address is the feed's own")
    pairs = [(_plain(entry.get("title", "")), entry.get("link", "")) for entry in found.entries[:MAX_ENTRIES]]
    return [(title, link) for title, link in pairs if title and link.startswith(("http://", "https://"))]


def _plain(title: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", title)).split())


def _cut(title: str, room: int) -> str:
    """The title in so many characters as browsers count them, at the end of a word where it must end."""
    if len(title.encode("utf-16-le")) // 2 <= room:
        return title
    while title and len(title.encode("utf-16-le")) // 2 > room - 1:
        title = title.rpartition(" ")[0]
    return f"{title}…"


# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────


async def _check_robots(http: "httpx.AsyncClient", url: str) -> None:
    """Raises FeedError for what robots.txt forbids; without one all is allowed (RFC 9309)."""
    parts = urlsplit(url)
    status, _, body = await _get(http, f"{parts.scheme}://{parts.netloc}/robots.txt", MAX_ROBOTS_BYTES, {})
    if status >= 500:
        raise FeedUnavailableError(f"{parts.netloc} does not tell its robots.txt: it answers {status}")
    if status == 200 and not Robots(body.decode("utf-8", "replace")).allows(url):
        raise FeedError(f"robots.txt of {parts.netloc} forbids {url}", remedy="Take it out of content.feeds")


async def _get(
    http: "httpx.AsyncClient", url: str, max_bytes: int, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body. Raises FeedUnavailableError, and FeedError for more than `max_bytes`."""
    import httpx

    sent = {"user-agent": AGENT, "accept-encoding": "identity", **headers}  # a size is what it seems
    try:
        with trio.fail_after(FETCH_TIMEOUT_S):
            async with http.stream("GET", url, headers=sent) as response:
                body = bytearray()
                with trio.CancelScope() as scope:  # a loop left by itself leaves httpx's generators open
                    async for chunk in response.aiter_raw():
                        if len(body) + len(chunk) > max_bytes:
                            scope.cancel()
                        else:
                            body += chunk
                if scope.cancel_called:
                    raise FeedError(f"{url} is longer than {max_bytes} bytes")
                return response.status_code, dict(response.headers), bytes(body)
    except trio.TooSlowError as error:
        raise FeedUnavailableError(f"{url} gave no whole answer within {FETCH_TIMEOUT_S:g} s") from error
    except httpx.HTTPError as error:
        raise FeedUnavailableError(f"{url} can't be reached: {str(error) or type(error).__name__}") from error
