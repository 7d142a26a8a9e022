"""The accounts as jobs see them, while they change."""

import pytest

from orchestrator.errors import AccountNotUsableError
from orchestrator.jobs.accounts import SETTLING, Accounts
from orchestrator.jobs.reconciliation import NAME as RECONCILIATION
from orchestrator.testing.house import accounts_of, settings_for

ADA, GRACE = accounts_of(settings_for()).values()


@pytest.fixture
def accounts() -> Accounts:
    return Accounts({"ada": ADA})


def test_who_goes_through_them_sees_those_of_one_moment(accounts: Accounts) -> None:
    seen = []
    for name in accounts:
        seen.append(name)
        accounts.add(GRACE)
    assert seen == ["ada"]
    assert list(accounts) == ["ada", "grace"]


def test_an_account_that_is_switched_off_is_none_that_work_is_done_for(accounts: Accounts) -> None:
    accounts.disable("ada", "root")
    assert ("ada" in accounts, len(accounts), list(accounts.here)) == (False, 0, ["ada"])
    assert accounts["ada"] is ADA  # for what is under way
    for job in ("posting", RECONCILIATION):
        with (
            pytest.raises(AccountNotUsableError, match="account ada is switched off by root"),
            accounts.visit("ada", job),
        ):
            pass
    accounts.enable("ada")
    with accounts.visit("ada", "posting"):
        assert accounts.is_visited("ada")
    assert not accounts.is_visited("ada")


def test_one_that_is_about_to_go_is_visited_only_to_settle_what_is_in_doubt(accounts: Accounts) -> None:
    assert SETTLING == RECONCILIATION
    accounts.leave("ada", "root")
    assert (list(accounts), accounts.to_settle) == ([], ["ada"])
    with (
        pytest.raises(AccountNotUsableError, match="is removed by root as soon as"),
        accounts.visit("ada", "x"),
    ):
        pass
    with accounts.visit("ada", RECONCILIATION):
        assert accounts.is_visited("ada")
    accounts.drop("ada")
    assert (accounts.to_settle, list(accounts.here)) == ([], [])
    with pytest.raises(AccountNotUsableError, match="ada is removed"), accounts.visit("ada", RECONCILIATION):
        pass


def test_what_is_in_doubt_of_one_that_is_switched_off_is_settled_before_it_goes(accounts: Accounts) -> None:
    accounts.disable("ada", "root")
    assert accounts.to_settle == []
    accounts.leave("ada", "root")
    assert accounts.to_settle == ["ada"]
