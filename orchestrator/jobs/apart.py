"""Accounts kept apart: the trouble of one does not hold up the others."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.actors.job import Run
from orchestrator.errors import HostRefusedError, OrchestratorError, ProfileError, SiteError
from orchestrator.retry import root_of

OF_ONE_ACCOUNT = (SiteError, HostRefusedError, ProfileError)


class Apart:
    """What went wrong with single accounts in one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._errors: list[OrchestratorError] = []

    @contextmanager
    def account(self, name: str) -> Iterator[None]:
        """Work for one account; an error that concerns it alone ends the block and is kept."""
        try:
            yield
        except OF_ONE_ACCOUNT as error:
            self._run.log.warning("account_failed", account=name, error=error.line())
            self._errors.append(error)

    def raise_gravest(self) -> None:
        """Raise the gravest of the errors, if there are any: one that won't pass before one that may."""
        if self._errors:
            raise root_of(ExceptionGroup("accounts", self._errors))
