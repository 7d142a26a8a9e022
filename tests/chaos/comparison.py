"""What must hold after every cycle: the site's ledger, the posts and the counters say the same."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psutil

from orchestrator.db.posts import ASK
from tests.chaos.site import Document
from tests.rows import Row

POSTS = "SELECT id, account, fingerprint, state, reference, counted_on, detail FROM posts ORDER BY id"
MOVING = "SELECT id, state, detail FROM posts WHERE state IN ('claimed', 'submitting', 'ambiguous')"
COUNTERS = "SELECT account, day, posts FROM daily_counters"
AT_REST = ("queued", "published", "failed", "ambiguous")
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
                yield f"post {post_id} is gone from the database"
            elif reference is not None and now[post_id] != reference:
                yield f"post {post_id} was {reference}, and is {now[post_id]} now"
        self.known = now


def _doubled(ledger: list[Document]) -> Iterable[str]:
    for what in ("reference", "fingerprint"):
        counts = Counter((entry["account"], entry[what]) for entry in ledger)
        yield from (f"double on the site: {key}, {n} times" for key, n in counts.items() if n > 1)


def _against_ledger(ledger: list[Document], posts: list[Row]) -> Iterable[str]:
    on_site = {entry["reference"]: (entry["account"], entry["fingerprint"]) for entry in ledger}
    published = {post["reference"]: post for post in posts if post["state"] == "published"}
    doubtful = {(post["account"], post["fingerprint"]) for post in posts if post["state"] == "ambiguous"}
    for reference, post in published.items():
        if on_site.get(reference) != (post["account"], post["fingerprint"]):
            yield f"post {post['id']} is published as {reference}, which the site does not have so"
    for reference, content in on_site.items():
        if reference not in published and content not in doubtful:
            yield f"{reference} is on the site and not published in the database: {content}"
    for post in posts:
        if post["state"] not in AT_REST:
            yield f"post {post['id']} is left {post['state']}"


def _counters(posts: list[Row], counters: list[Row]) -> Iterable[str]:
    held = Counter((post["account"], post["counted_on"]) for post in posts if post["counted_on"] is not None)
    counted = {(row["account"], row["day"]): row["posts"] for row in counters}
    for key in {*held, *counted}:
        if held[key] != counted.get(key, 0):
            yield f"counter of {key[0]} on {key[1]}: {counted.get(key, 0)}, but {held[key]} posts are counted"
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
