"""What must hold after every cycle: the site's ledger, the posts and the counters say the same."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psutil

from orchestrator.db.posts import ASK
from tests.chaos.site import Document
from tests.rows import Row

POSTS = """
    SELECT id, account, fingerprint, state, reference, in_reply_to, counted_on, detail FROM posts ORDER BY id
"""
MOVING = "SELECT id, state, detail FROM posts WHERE state IN ('claimed', 'submitting', 'ambiguous')"
COUNTERS = "SELECT account, day, posts, replies FROM daily_counters"
AT_REST = ("draft", "queued", "published", "failed", "ambiguous")
DOUBLE, GONE, MISSING = "double on the site", "is gone from the database", "which the site does not have so"
"""Words of a comparison: a post is there twice, is not known any more, or is said to be where it is not."""
MEMORY_GROWTH, FILES_GROWTH = 64 * 2**20, 24
"""What a daemon may have more than after its first cycle: in bytes, and in open files."""


@dataclass(slots=True)
class Books:
    """Site and database compared; remembers what was there before, since nothing may ever go."""

    known: dict[int, Any] = field(default_factory=dict)
    """Reference (None: not published) by post."""

    def compare(self, ledger: list[Document], posts: list[Row], counters: list[Row]) -> list[str]:
        """What is wrong, in words. An ambiguous post may be on the site or not; nobody knows yet."""
        return [
            *_doubled(ledger),
            *_against_ledger(ledger, posts),
            *_counters(posts, counters),
            *self._gone(posts),
        ]

    def _gone(self, posts: list[Row]) -> Iterable[str]:
        now = {post["id"]: post["reference"] for post in posts}
        for post_id, reference in self.known.items():
            if post_id not in now:
                yield f"post {post_id} {GONE}"
            elif reference is not None and now[post_id] != reference:
                yield f"post {post_id} was {reference}, and is {now[post_id]} now"
        self.known = now


def _doubled(ledger: list[Document]) -> Iterable[str]:
    posts = [entry for entry in ledger if entry["in_reply_to"] is None]
    replies = [entry for entry in ledger if entry["in_reply_to"] is not None]
    for what, entries in (("reference", ledger), ("fingerprint", posts), ("in_reply_to", replies)):
        counts = Counter((entry["account"], entry[what]) for entry in entries)
        yield from (f"{DOUBLE}: {key}, {n} times" for key, n in counts.items() if n > 1)


def _against_ledger(ledger: list[Document], posts: list[Row]) -> Iterable[str]:
    on_site = {entry["reference"]: _content(entry) for entry in ledger}
    published = {post["reference"]: post for post in posts if post["state"] == "published"}
    doubtful = {_content(post) for post in posts if post["state"] == "ambiguous"}
    for reference, post in published.items():
        if on_site.get(reference) != _content(post):
            yield f"post {post['id']} is published as {reference}, {MISSING}"
    for reference, content in on_site.items():
        if reference not in published and content not in doubtful:
            yield f"{reference} is on the site and not published in the database: {content}"
    for post in posts:
        if post["state"] not in AT_REST:
            yield f"post {post['id']} is left {post['state']}"


def _content(one: Document | Row) -> tuple[str, str, str | None]:
    return one["account"], one["fingerprint"], one["in_reply_to"]


def _counters(posts: list[Row], counters: list[Row]) -> Iterable[str]:
    held = Counter(
        (post["account"], post["counted_on"], "posts" if post["in_reply_to"] is None else "replies")
        for post in posts
        if post["counted_on"] is not None
    )
    counted = {
        (row["account"], row["day"], kind): row[kind] for row in counters for kind in ("posts", "replies")
    }
    for key in {*held, *counted}:
        if held[key] != counted.get(key, 0):
            account, day, kind = key
            yield f"counter of {account} on {day}: {counted.get(key, 0)}, but {held[key]} {kind} are counted"
    for post in posts:
        is_counted = post["counted_on"] is not None
        if is_counted != (post["state"] in ("published", "ambiguous")) and post["state"] != "failed":
            yield f"post {post['id']} is {post['state']}, and {'is' if is_counted else 'is not'} counted"


def in_doubt(posts: list[Row]) -> list[int]:
    """The ambiguous posts that are not left to a person."""
    return [post["id"] for post in posts if post["state"] == "ambiguous" and not post["detail"].endswith(ASK)]


@dataclass(slots=True)
class Footprint:
    """Memory and open files of the daemon over the cycles that it lives through."""

    pid: int = 0
    memory: int = 0
    files: int = 0

    def compare(self, pid: int) -> list[str]:
        process = psutil.Process(pid)
        memory, files = process.memory_full_info().pss, process.num_fds()
        if pid != self.pid:
            self.pid, self.memory, self.files = pid, memory, files
        wrong = []
        if memory > self.memory + MEMORY_GROWTH:
            wrong.append(f"the daemon has grown from {self.memory >> 20} to {memory >> 20} MiB")
        if files > self.files + FILES_GROWTH:
            wrong.append(f"the daemon has {files} open files instead of {self.files}")
        return wrong
