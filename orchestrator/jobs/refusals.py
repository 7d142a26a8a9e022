"""Accounts whose sign-in was refused: a wrong password that is sent again and again locks them out."""

from orchestrator.actors.job import Run
from orchestrator.errors import SignInRefusedError

REMEDY = "Correct the name or password and restart the daemon, or try it again: orchestrator ctl run posting"


class Refusals:
    """Remembers refusals while the daemon lives; only a run that somebody asks for tries again."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        """By account, what the site said."""

    def heed(self, run: Run) -> None:
        """At the start of a run: one that was asked for forgets all refusals, not so its retries."""
        if run.is_asked and not run.is_retry:
            self._words.clear()

    def check(self, account: str) -> None:
        """Raises SignInRefusedError, with the site's words, for an account that was refused."""
        if account in self._words:
            raise SignInRefusedError(self._words[account], remedy=REMEDY)

    def is_refused(self, account: str) -> bool:
        return account in self._words

    def forget(self, account: str) -> None:
        self._words.pop(account, None)

    def note(self, account: str, error: SignInRefusedError) -> None:
        self._words[account] = f"{error} (not tried again by itself)"
