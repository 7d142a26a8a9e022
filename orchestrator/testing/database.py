"""What jobs use of the database, in memory."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import trio

from orchestrator.db import accounts, notes, posts
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseError, DatabaseUnavailableError

Work = Callable[..., Awaitable[Any]]
"""What `Database.run` takes: an async function whose first argument is the connection."""


class FakeDatabase(Database):
    """Knows the notes of jobs; any other work is answered as the test says, without being run.

    `is_down` refuses everything as a server does that is away.
    """

    def __init__(self) -> None:
        self.is_down = False
        self.asked: list[str] = []
        """The name of each work, in order."""
        self._notes: dict[tuple[str, str], str] = {}
        self._answers: dict[Work, Callable[..., Any]] = {
            notes.recall: self._recall,
            notes.remember: self._remember,
            posts.expected: lambda *_args: [],
            accounts.count: lambda *_args: True,
            accounts.mark: lambda *_args: None,
        }

    def answer(self, work: Work, answer: Any) -> None:
        """What `work` gives: a value, or a function of its arguments without the connection."""
        self._answers[work] = answer if callable(answer) else lambda *_args: answer

    def notes_of(self, job: str) -> Mapping[str, Any]:
        """What a job has kept, by key."""
        return {key: json.loads(text) for (owner, key), text in self._notes.items() if owner == job}

    def keep(self, job: str, key: str, value: Any) -> None:
        """As if an earlier run of the job had kept it. Raises DatabaseError for what JSON can't say."""
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (TypeError, ValueError) as error:
            raise DatabaseError(f"{key} can't be kept: {error}") from error
        if "\\u0000" in text.replace(r"\\", ""):
            raise DatabaseError(f"{key} can't be kept: PostgreSQL's texts have no NUL")
        self._notes[job, key] = text

    async def run(self, work: Work, /, *args: Any, read_only: bool = False) -> Any:  # type: ignore[override]
        """Raises LookupError for a work without an answer."""
        await trio.lowlevel.checkpoint()
        self.asked.append(work.__name__)
        self.check()
        if work not in self._answers:
            raise LookupError(
                f"the fake database can't run {work.__module__}.{work.__name__}: say what it gives with "
                f"house.database.answer({work.__name__}, …)"
            )
        return self._answers[work](*args)

    def check(self) -> None:
        """Raises DatabaseUnavailableError while the database is down."""
        if self.is_down:
            raise DatabaseUnavailableError("the database can't be reached", remedy="Start it.")

    def _recall(self, job: str, key: str) -> Any:
        return json.loads(self._notes.get((job, key), "null"))

    def _remember(self, job: str, key: str, value: Any, _fence: int, _now: datetime) -> None:
        if value is None:
            self._notes.pop((job, key), None)
        else:
            self.keep(job, key, value)
