"""Accounts kept apart: the trouble of one does not hold up the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from orchestrator.actors.job import Run
from orchestrator.errors import (
    AccountNotUsableError,
    BreakerOpenError,
    BrowserError,
    HostRefusedError,
    LeaseEndedError,
    OrchestratorError,
    ProfileError,
    SiteError,
)
from orchestrator.model import Ending, Outcome, skipped
from orchestrator.retry import root_of

OF_ONE_ACCOUNT = (SiteError, HostRefusedError, ProfileError, BrowserError, LeaseEndedError)
"""A browser that fails, or a visit that takes too long, may be the doing of the account's pages."""


class Apart:
    """What went wrong with single accounts in one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._errors: list[OrchestratorError] = []
        self._not_asked: dict[str, OrchestratorError] = {}
        self._count = 0

    @contextmanager
    def account(self, name: str) -> Iterator[None]:
        """Work for one account; an error that concerns it alone ends the block and is kept."""
        try:
            yield
            self._count += 1
        except BreakerOpenError as error:
            self._run.log.info("account_passed_over", account=name, why=str(error))
            self._not_asked[error.breaker] = error
        except AccountNotUsableError as error:
            self._run.log.info("account_passed_over", account=name, why=str(error))
            self._not_asked[name] = error
        except OF_ONE_ACCOUNT as error:
            self._run.log.warning("account_failed", account=name, error=error.line())
            self._errors.append(error)

    def end(self, outcome: Outcome) -> Outcome:
        """How the run ends: `outcome`, which also tells of the sites that were not asked.

        Raises the gravest of the errors, if there are any: one that won't pass before one that may. A run
        that found nothing to do but on sites that were not asked is skipped.
        """
        if self._errors:
            raise root_of(ExceptionGroup("accounts", self._errors))
        if not self._not_asked:
            return outcome
        if not self._count or outcome.ending is Ending.NOTHING_TO_DO:
            return skipped("; ".join(map(str, self._not_asked.values())))
        return replace(outcome, detail=f"{outcome.detail}; not asked: {', '.join(self._not_asked)}")
