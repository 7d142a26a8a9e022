"""The house's writer: content sources and gates behind two questions, what there is and what to write."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from random import Random

import structlog
import trio

from orchestrator.content.gates import Refusal, check, make_context
from orchestrator.content.generator import Inventory, Written, inventory, write_draft
from orchestrator.content.sources import MarkdownFolder, Snippet
from orchestrator.content.templates import Templates, load_templates
from orchestrator.errors import ContentError
from orchestrator.model import Arms, fingerprint
from orchestrator.settings import ContentSettings

log = structlog.get_logger("content")


@dataclass(frozen=True, slots=True)
class Stock:
    """The texts that there are at one moment."""

    snippets: tuple[Snippet, ...]
    templates: Templates
    settings: ContentSettings
    first: tuple[Snippet, ...] = ()
    """Those of `snippets` that come before what a language model writes: the user's own, and feeds'."""

    def with_first(self, snippets: Iterable[Snippet]) -> "Stock":
        """With further texts that come before what a language model writes."""
        more = tuple(snippets)
        return replace(self, snippets=self.snippets + more, first=self.first + more)

    def only_first(self) -> "Stock":
        """What comes before a language model, and nothing else."""
        return replace(self, snippets=self.first, templates=Templates({}, {}))

    def only_templates(self) -> "Stock":
        """Without any snippet."""
        return replace(self, snippets=(), first=())

    def refusal(
        self,
        text: str,
        *,
        recent_texts: Iterable[str] = (),
        used: Collection[str] = (),
        site_max_chars: int | None = None,
    ) -> Refusal | None:
        """Why a text from elsewhere may not be queued; None when it may. Call it in a thread."""
        if fingerprint(text) in used:
            return Refusal("duplicates", "is a text that was used before")
        context = make_context(self.settings, recent_texts, used=used, site_max_chars=site_max_chars)
        return check(text, context)

    @property
    def inventory(self) -> Inventory:
        """The topics and formats that there are texts for."""
        return inventory(self.snippets, self.templates)

    def write(
        self,
        wish: Arms,
        rng: Random,
        *,
        recent_texts: Iterable[str] = (),
        used: Collection[str] = (),
        site_max_chars: int | None = None,
    ) -> Written | list[Refusal]:
        """A draft that passes the gates, or why each candidate was refused (never empty).

        It is neither among the fingerprints `used` nor like one of `recent_texts`. Call it in a thread: it
        takes a while.
        """
        context = make_context(self.settings, recent_texts, used=used, site_max_chars=site_max_chars)
        return write_draft(wish, snippets=self.snippets, templates=self.templates, context=context, rng=rng)


class Writer:
    """Reads the user's folder of Markdown files alone, or the bundled files and templates.

    A file that is broken is logged when it is first seen so, and passed over until it is mended.
    """

    def __init__(self, settings: ContentSettings) -> None:
        self._settings = settings
        self._folder = MarkdownFolder(settings.folder or _bundled())
        self._templates = load_templates() if settings.folder is None else Templates({}, {})
        self._turn = trio.Lock()
        self.problems: tuple[ContentError, ...] = ()
        """The broken files at the last look."""

    async def read(self) -> Stock:
        """What there is now. Thousands of files take seconds, in a thread; who comes meanwhile waits."""
        async with self._turn:
            return await trio.to_thread.run_sync(self._read)

    def _read(self) -> Stock:
        reading = self._folder.read()
        known = {problem.line() for problem in self.problems}
        for problem in reading.problems:
            if problem.line() not in known:
                log.warning("content_broken", problem=problem.line())
        self.problems = reading.problems
        first = reading.snippets if self._settings.folder is not None else ()
        return Stock(reading.snippets, self._templates, self._settings, first)


def _bundled() -> Path:
    with as_file(files("orchestrator.content") / "bundled") as path:
        return path
