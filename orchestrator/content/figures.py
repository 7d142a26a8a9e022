"""A post about an account's own week, filled from the database."""

from orchestrator.content import formats
from orchestrator.content.prompts import hashtag
from orchestrator.content.sources import Snippet
from orchestrator.db.own_figures import Week

SOURCE = "figures:week"
QUOTED_CHARS = 100
"""Of the best post, so that the whole fits where posts are short."""


def week_snippet(week: Week) -> Snippet:
    """The week in figures, and the post that was liked most."""
    line = " ".join(week.best_text.rpartition("\n#")[0].split() or week.best_text.split())
    said = line if len(line) <= QUOTED_CHARS else f"{line[:QUOTED_CHARS].rsplit(' ', 1)[0]}…"
    text = (
        f"{week.posts} posts, {week.likes} likes and {week.views} views in a week. "
        f"You liked this one most, {week.best_likes} times: {said}\n{hashtag(week.best_topic)}"
    )
    return Snippet(text, week.best_topic, formats.NUMBER, SOURCE)
