"""Settings of the feeds that posts are made from."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from orchestrator.settings.base import Section

FEED_PREFIX = "feed:"
"""How the name of a feed's breaker begins."""


class FeedSettings(Section):
    """An RSS or Atom feed whose entries are posted: title, link and hashtag."""

    url: str = Field(description="where it is; a feed that has moved is told, not followed")
    topic: str = Field(
        pattern=r"^\w[\w -]{0,39}$", description="what it is about; upper and lower case are the same"
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("must be an address such as https://blog.example/feed.xml, without a user")
        return url
