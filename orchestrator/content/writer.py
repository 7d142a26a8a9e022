"""The house's writer: the account's content sources and gates behind two questions."""

from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path
from random import Random

import structlog

from orchestrator.content.gates import Refusal, make_context
from orchestrator.content.generator import Inventory, Written, inventory, write_draft
from orchestrator.content.sources import MarkdownFolder, Snippet
from orchestrator.content.templates import Templates, load_templates
from orchestrator.errors import ContentError
from orchestrator.model import Arms
from orchestrator.settings import ContentSettings

log = structlog.get_logger("content")


class Writer:
    """Writes drafts from the user's folder of Markdown files alone, or from bundled files and templates.

    The folder is read anew at each question; a file that is broken is logged when it is first seen so, and
    passed over until it is mended.
    """

    def __init__(self, settings: ContentSettings) -> None:
        self._settings = settings
        self._folder = MarkdownFolder(settings.folder or _bundled())
        self._templates = load_templates() if settings.folder is None else Templates({}, {})
        self.problems: tuple[ContentError, ...] = ()
        """The broken files at the last look."""

    def inventory(self) -> Inventory:
        """The topics and formats that there are texts for."""
        return inventory(self._snippets(), self._templates)

    def write(
        self, wish: Arms, recent_texts: Iterable[str], rng: Random, *, site_max_chars: int | None = None
    ) -> Written | list[Refusal]:
        """A draft that passes the gates, or why each candidate was refused (never empty)."""
        context = make_context(self._settings, recent_texts, site_max_chars=site_max_chars)
        return write_draft(
            wish, snippets=self._snippets(), templates=self._templates, context=context, rng=rng
        )

    def _snippets(self) -> tuple[Snippet, ...]:
        reading = self._folder.read()
        known = {problem.line() for problem in self.problems}
        for problem in reading.problems:
            if problem.line() not in known:
                log.warning("content_broken", problem=problem.line())
        self.problems = reading.problems
        return reading.snippets


def _bundled() -> Path:
    with as_file(files("orchestrator.content") / "bundled") as path:
        return path
