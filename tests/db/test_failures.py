"""How foreign errors are understood. What real servers raise is in test_pool."""

import asyncpg
import pytest

from orchestrator.db.failures import FOREIGN, judge
from orchestrator.errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError, Failure


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_server_that_is_away_is_a_passing_failure_that_costs_the_connection(error: Exception) -> None:
    assert isinstance(error, FOREIGN)
    verdict = judge(error)
    assert isinstance(verdict.error, DatabaseUnavailableError)
    assert verdict.error.failure is Failure.TRANSIENT
    assert verdict.is_connection_lost


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.SerializationError("could not serialize access"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.DiskFullError("could not extend file"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InvalidCachedStatementError("cached plan must not change result type"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_collision_or_shortage_is_a_passing_failure_of_a_good_connection(error: Exception) -> None:
    verdict = judge(error)
    assert isinstance(verdict.error, DatabaseUnavailableError)
    assert not verdict.is_connection_lost


@pytest.mark.parametrize("error", [asyncpg.DiskFullError("x"), asyncpg.TooManyConnectionsError("x")])
def test_what_a_person_must_mend_names_the_remedy(error: Exception) -> None:
    assert judge(error).error.remedy


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError('database "x" does not exist'),
        asyncpg.InsufficientPrivilegeError("permission denied for table posts"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_is_for_good(error: Exception) -> None:
    verdict = judge(error)
    assert isinstance(verdict.error, DatabaseRefusedError)
    assert verdict.error.failure is Failure.PERMANENT
    assert verdict.error.remedy


def test_a_read_only_server_is_away_but_a_read_only_transaction_is_our_own_wish() -> None:
    error = asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction")
    assert isinstance(judge(error).error, DatabaseUnavailableError)
    ours = judge(error, is_read_only=True)
    assert type(ours.error) is DatabaseError
    assert not ours.is_connection_lost


def test_an_interface_error_on_a_closed_connection_is_a_lost_connection() -> None:
    error = asyncpg.InterfaceError("connection is closed")
    assert isinstance(judge(error, is_closed=True).error, DatabaseUnavailableError)
    assert type(judge(error).error) is DatabaseError


def test_a_broken_protocol_costs_the_connection() -> None:
    verdict = judge(asyncpg.ProtocolError("unexpected message"))
    assert type(verdict.error) is DatabaseError
    assert verdict.is_connection_lost


def test_an_unknown_state_is_a_plain_database_error() -> None:
    error = asyncpg.UndefinedTableError('relation "likes" does not exist')
    assert str(judge(error).error) == (
        'the database refused a statement: relation "likes" does not exist (42P01)'
    )
