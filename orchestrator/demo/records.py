"""The records that the site's parts hand to each other. Moments are seconds since 1970 UTC, shown clock."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Author:
    """A person on the site: one of the accounts that can sign in, or a voice of the population."""

    name: str
    display_name: str
    bio: str
    base_followers: int
    following: int
    gained_followers: int
    """Followers won by posts up to `settled_post`; newer posts are counted when somebody looks."""
    settled_post: int
    posts: int
    """All posts ever, also those that the site no longer keeps."""


@dataclass(frozen=True, slots=True)
class Post:
    """One post, of an account or of the population."""

    id: int
    """Order of acceptance; never shown to readers."""
    reference: str
    author: str
    display_name: str
    text: str
    accepted_at: float
    followers: int
    """How many followed the author when the post was accepted."""
    in_reply_to: str | None = None
    """Reference of the post that it answers."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of posts, newest first."""

    posts: list[Post]
    next_before: str | None
    """Reference to continue from; None on the last page."""


@dataclass(frozen=True, slots=True)
class NewPost:
    """A post of the population on its way into the store."""

    reference: str
    author: str
    text: str
    accepted_at: float


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One post that an account handed in and the site accepted; written once, never changed."""

    sequence: int
    reference: str
    account: str
    text: str
    fingerprint: str
    accepted_at: float
    in_reply_to: str | None = None
