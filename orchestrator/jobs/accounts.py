"""The accounts as jobs see them: which there are now, and which of them work is done for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import AccountNotUsableError

if TYPE_CHECKING:
    from orchestrator.jobs.tools import Account

SETTLING = "reconciliation"
"""The job that finds out what became of posts in doubt."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """An account that is kept and that nothing can be done with."""

    site: str
    why: str


class Accounts(Mapping[str, "Account"]):
    """By name those that work is done for, as a mapping; it may change between any two looks at it.

    1. `_working` is never changed, only replaced: who goes through it sees the accounts of one moment.
    2. `self[name]` also finds an account that no work is done for any more, be it gone: what is under way
       may need it to its end. `name in self` says whether work is done for it.
    """

    def __init__(self, accounts: Mapping[str, "Account"] | None = None) -> None:
        self._ever = dict(accounts or {})
        """Each that has been here, gone ones too."""
        self._here = dict(self._ever)
        self._working: Mapping[str, Account] = dict(self._here)
        self.disabled: dict[str, str] = {}
        """By account, who has switched it off."""
        self.leaving: dict[str, str] = {}
        """By account, who wants it removed."""
        self.unusable: dict[str, Unusable] = {}
        """None of these is among the others."""
        self._visits: Counter[str] = Counter()

    def __getitem__(self, name: str) -> "Account":
        return self._ever[name]

    def __contains__(self, name: object) -> bool:
        return name in self._working

    def __iter__(self) -> Iterator[str]:
        return iter(self._working)

    def __len__(self) -> int:
        return len(self._working)

    @property
    def here(self) -> Mapping[str, "Account"]:
        """Those too that are switched off or about to go."""
        return dict(self._here)

    @property
    def to_settle(self) -> list[str]:
        """Those whose posts in doubt are looked for: they hold up the end of one that is about to go."""
        return [name for name in self._here if name not in self.disabled or name in self.leaving]

    def why_not(self, name: str) -> str | None:
        """Why no work is done for an account that is here; None when it is."""
        if name in self.leaving:
            return f"is removed by {self.leaving[name]} as soon as nothing of it is under way"
        if name in self.disabled:
            return f"is switched off by {self.disabled[name]}"
        return None

    @contextmanager
    def visit(self, name: str, job: str) -> Iterator[None]:
        """One visit in its name; who settles its posts in doubt may also come while it is about to go.

        Raises AccountNotUsableError for an account that is not to be visited.
        """
        if name not in self._working and not (job == SETTLING and name in self.to_settle):
            raise AccountNotUsableError(f"account {name} {self.why_not(name) or 'is removed'}")
        self._visits[name] += 1
        try:
            yield
        finally:
            self._visits[name] -= 1

    def is_visited(self, name: str) -> bool:
        return self._visits[name] > 0

    # ── changes ─────────────────────────────────────────────────────────────────────────────────

    def add(self, account: "Account") -> None:
        self._ever[account.name] = self._here[account.name] = account
        self._renew()

    def disable(self, name: str, who: str) -> None:
        self.disabled[name] = who
        self._renew()

    def enable(self, name: str) -> None:
        self.disabled.pop(name, None)
        self._renew()

    def leave(self, name: str, who: str) -> None:
        """No more work is done for it; what is under way may end."""
        self.leaving[name] = who
        self._renew()

    def drop(self, name: str) -> None:
        """It is gone."""
        for table in (self._here, self.disabled, self.leaving, self.unusable):
            table.pop(name, None)
        self._renew()

    def _renew(self) -> None:
        self._working = {
            name: account
            for name, account in self._here.items()
            if name not in self.disabled and name not in self.leaving
        }
