"""The command line of the bundled site."""

import argparse
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.demo.accounts import Account

DEFAULT_SEED = 7
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,29}")
_ACCOUNT_KEYS = {"name", "password", "display_name"}


class StartError(Exception):
    """The site can't start; the message is one line that names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, understood and checked."""

    host: str
    port: int
    data: Path
    admin_token: str | None = field(repr=False)
    clock: Clock
    accounts: Mapping[str, Account]
    """By name in lower case."""
    seed: int
    parent: int | None
    """Process whose death ends this one."""


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises StartError for files and values that can't be used, SystemExit for a wrong command line."""
    given = _parser().parse_args(arguments)
    listed = _accounts_of_file(given.accounts_file) if given.accounts_file else []
    accounts = [*listed, *(_account_of_argument(text) for text in given.account)]
    return Options(
        host=given.host,
        port=given.port,
        data=given.data,
        admin_token=_token_of(given.admin_token_file) if given.admin_token_file else None,
        clock=_clock_of(given.clock),
        accounts={account.name.lower(): account for account in accounts},
        seed=given.seed,
        parent=given.die_with_parent,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.demo", description="A small microblog to try on."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=8701, help="0 takes any free port; it is printed")
    add("--data", type=Path, required=True, metavar="DIR", help="where the database is kept")
    add("--admin-token-file", type=Path, metavar="FILE", help="without it there are no admin pages")
    add("--clock", default="1,0,0", metavar="SPEED,REAL_EPOCH,SHOWN_EPOCH", help="the shown clock")
    add(
        "--account",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME:PASSWORD",
        help="who may sign in (seen by everybody in the list of processes: prefer the file)",
    )
    add(
        "--accounts-file", type=Path, metavar="FILE", help='JSON: [{"name", "password", "display_name"}, ...]'
    )
    add("--seed", type=int, default=DEFAULT_SEED, help="of the audience's taste and the population")
    add(
        "--die-with-parent",
        type=int,
        nargs="?",
        const=os.getppid(),
        metavar="PID",
        help="end when the process that started this one ends; with PID also if it has ended already",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError
    return port


def _clock_of(text: str) -> Clock:
    try:
        speed, real_epoch, shown_epoch = (float(part) for part in text.split(","))
    except ValueError:
        raise StartError(f"--clock {text!r}: expected SPEED,REAL_EPOCH,SHOWN_EPOCH, three numbers") from None
    if not (speed > 0 and all(map(math.isfinite, (speed, real_epoch, shown_epoch)))):
        raise StartError(f"--clock {text!r}: the speed must be positive, and all three finite")
    return Clock(speed, real_epoch, shown_epoch)


def _token_of(path: Path) -> str:
    token = _read(path).strip()
    if not token or not token.isascii() or not token.isprintable():
        raise StartError(f"{path}: expected a token of printable ASCII characters")
    return token


def _account_of_argument(text: str) -> Account:
    name, colon, password = text.partition(":")
    if not colon:
        raise StartError(f"--account {name!r}: expected NAME:PASSWORD")
    return _account(f"--account {name}", name, password, None)


def _accounts_of_file(path: Path) -> list[Account]:
    try:
        entries = json.loads(_read(path))
    except ValueError as error:
        raise StartError(f"{path}: not JSON: {error}") from None
    if not isinstance(entries, list):
        raise StartError(f"{path}: expected a list of accounts")
    return [_account_of_entry(f"{path}, entry {number}", entry) for number, entry in enumerate(entries, 1)]


def _account_of_entry(where: str, entry: object) -> Account:
    if not isinstance(entry, dict) or not {"name", "password"} <= entry.keys() <= _ACCOUNT_KEYS:
        raise StartError(f"{where}: expected an object with name, password and, if you like, display_name")
    return _account(where, entry["name"], entry["password"], entry.get("display_name"))


def _account(where: str, name: object, password: object, display_name: object) -> Account:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StartError(f"{where}: a name has 1 to 30 letters, digits, dots, dashes or underscores")
    if not isinstance(password, str) or not password:
        raise StartError(f"{where}: the password is missing")
    if not isinstance(display_name, (str, type(None))):
        raise StartError(f"{where}: display_name is not a text")
    return Account(name, password, display_name or name.replace("_", " ").replace("-", " ").title())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path}: can't be read: {error}") from None
