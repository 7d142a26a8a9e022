"""Starts programs as an unprivileged user that die with us: PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StateDirectoryError

# Where setpriv is missing or too old. The order matters: the kernel forgets the parent-death signal
# when the user changes, so the signal is asked for last. ctypes is imported while we still may read it.
_SHIM = """
import ctypes, os, sys
parent, uid, gid = map(int, sys.argv[1:4])
prctl = ctypes.CDLL(None, use_errno=True).prctl
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if parent and (prctl(1, 2, 0, 0, 0) or os.getppid() != parent):
    sys.exit("the parent process is gone")
os.execv(sys.argv[4], sys.argv[4:])
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user that the server runs as when we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launcher:
    """Makes command lines that run a program as `account`; None stands for ourselves."""

    account: Account | None
    setpriv: str | None
    """Path of a setpriv that knows `--pdeathsig`; without one a small Python program does its work."""

    def command(self, program: Path | str, *args: str) -> list[str]:
        """A command line whose process gets SIGINT when the *thread* that starts it ends."""
        prefix = self._shim() if self.setpriv is None else self._setpriv(self.setpriv)
        return [*prefix, shutil.which(program) or str(program), *args]

    def _setpriv(self, setpriv: str) -> list[str]:
        prefix = [setpriv, "--pdeathsig", "INT"]
        if self.account is not None:
            prefix += ["--reuid", str(self.account.uid), "--regid", str(self.account.gid), "--clear-groups"]
        return [*prefix, "--"]

    def _shim(self) -> list[str]:
        uid, gid = (self.account.uid, self.account.gid) if self.account else (-1, -1)
        return [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), str(uid), str(gid)]


def find_launcher(account: Account | None) -> Launcher:
    return Launcher(account, _find_setpriv())


def server_account(data: Path) -> Account | None:
    """Whom the server runs as: ourselves (None), or as root the owner of `data`, `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        return _owner(data)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StateDirectoryError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as",
        remedy="Create the user `postgres`, or run the daemon as an ordinary user",
    )


def _owner(data: Path) -> Account:
    status = data.stat()
    if status.st_uid == 0:
        raise StateDirectoryError(
            f"{data} belongs to root, but PostgreSQL does not run as root",
            remedy=f"Give it to an ordinary user: chown -R postgres: {data}",
        )
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return Account(name, status.st_uid, status.st_gid)


def _find_setpriv() -> str | None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return None
    trial = [setpriv, "--pdeathsig", "INT", "--", "true"]  # busybox has a setpriv without it
    done = subprocess.run(trial, capture_output=True, check=False, timeout=10)
    return setpriv if done.returncode == 0 else None
