"""What one look at an account's timeline says of its ambiguous posts."""

from collections.abc import Mapping
from datetime import datetime

from orchestrator.content.gates import words
from orchestrator.db.posts import ASK
from orchestrator.model import Post, Timeline, TimelineItem

CUT_SIGNS = ("…", "...")


class Look:
    """A timeline beside the references that are recorded already, with the moments of their publication.

    Invariant: `_free` are the items that belong to no post, newest first.
    """

    def __init__(self, timeline: Timeline, known: Mapping[str, datetime], *, is_empty: bool) -> None:
        """`is_empty`: no post of the account is recorded as published, so none need be on its timeline."""
        self._timeline = timeline
        self._known = known
        self._is_empty = is_empty
        self._free = [item for item in timeline.items if item.reference not in known]

    def take(self, post: Post) -> TimelineItem | None:
        """The newest item with the post's text, which then belongs to it; None when there is none.

        An item below one that is surely older than the attempt is from before it, if the site lists the
        newest first; `why_unsure` leaves it to a person.
        """
        text = squeezed(post.text)
        newer = [item for item in self._timeline.items[: self._count_newer(post)] if item in self._free]
        found = next((item for item in newer if squeezed(item.text) == text), None)
        if found is not None:
            self._free.remove(found)
        return found

    def why_unsure(self, post: Post) -> str:
        """Why this look does not tell that the site lacks the post; empty when it does.

        To be asked when every post that can be found was taken.
        """
        items = self._timeline.items
        newer = self._count_newer(post)
        if newer is None and not self._timeline.is_whole:
            return f"not among the latest {len(items)} posts of the account, and there may be others; {ASK}"
        if not self._known and not self._is_empty:
            return (
                f"none of the account's published posts is on its timeline, which may not be there yet; {ASK}"
            )
        for item in items[:newer]:
            if item in self._free and resembles(item.text, post.text):
                return f"{item.reference} on the site may be this post with another text; {ASK}"
        for item in items[newer:] if newer is not None else ():
            if item in self._free and squeezed(item.text) == squeezed(post.text):
                return f"{item.reference} on the site has this text, below an older post; {ASK}"
        return ""

    def _count_newer(self, post: Post) -> int | None:
        """How many items, from the newest on, may be younger than the attempt; None when all may be.

        The first item that is surely older tells: one of ours, published before the attempt began, with no
        younger one of ours below it. One at the very top may be pinned there, so the next one tells.
        """
        older: list[int] = []
        for index, item in enumerate(self._timeline.items):
            moment = self._known.get(item.reference)
            if moment is not None and (post.submitted_at is None or moment >= post.submitted_at):
                older.clear()
            elif moment is not None:
                older.append(index)
        if older[:1] == [0] and len(self._timeline.items) > 1:
            older.pop(0)
        return older[0] if older else None


class ReplyLook:
    """The account's own answers on the page of the post that one of them was to answer."""

    def __init__(self, replies: Timeline, known: Mapping[str, datetime], trouble: str = "") -> None:
        """`trouble`: why the page can't be read, or is not to be believed."""
        self._is_whole = replies.is_whole
        self.trouble = trouble
        self._free = [item for item in replies.items if item.reference not in known]

    def take(self, post: Post) -> TimelineItem | None:
        """The answer with the reply's text; None when there is none."""
        text = squeezed(post.text)
        return next((item for item in self._free if squeezed(item.text) == text), None)

    def why_unsure(self, _post: Post) -> str:
        """Why this look does not tell that the site lacks the reply; empty when it does."""
        if self.trouble:
            return f"{self.trouble}; {ASK}"
        if self._free:
            return f"{self._free[0].reference} is an answer of the account there, with another text; {ASK}"
        if not self._is_whole:
            return f"the page may not show all answers of the account; {ASK}"
        return ""


def resembles(shown: str, text: str) -> bool:
    """Whether `shown` may be `text` as a site shows it: cut short, links shortened, marks replaced."""
    for sign in CUT_SIGNS:
        beginning, is_cut, _ = squeezed(shown).partition(sign)
        if is_cut and squeezed(text).startswith(beginning):
            return True
    theirs, ours = set(words(shown)), set(words(text))
    return not theirs or 2 * len(theirs & ours) > min(len(theirs), len(ours))


def squeezed(text: str) -> str:
    """Without any white space: where a page has <br> or a paragraph, its text has none."""
    return "".join(text.split())
