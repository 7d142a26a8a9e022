"""The machine: running commands, and root's rights if we have them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

LAST_LINES = 12


class SetupError(Exception):
    """Set-up can't go on; the message says why and what to do."""


class CommandError(SetupError):
    """A command failed; the message ends with its last words."""


@contextmanager
def step(title: str, *, otherwise: str = "failed") -> Iterator[None]:
    """One line for the person who waits: what is done, and how long it took or `otherwise`."""
    print(f"  {title:<44}", end=" ", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print(otherwise, flush=True)
        raise
    print(f"{time.monotonic() - start:5.1f} s", flush=True)


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 1800) -> str:
    """Run a command without a terminal and return its output. Raises CommandError."""
    try:
        done = subprocess.run(
            command,
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except OSError as error:
        raise CommandError(f"{command[0]} can't be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{command[0]} did not end within {timeout_s:g} s") from error
    if done.returncode:
        last = "\n".join("    " + line for line in done.stdout.strip().splitlines()[-LAST_LINES:])
        raise CommandError(f"`{' '.join(command[:4])} …` failed ({done.returncode}):\n{last}")
    return done.stdout


def works(command: Sequence[str]) -> bool:
    """Whether a command can be run and says yes."""
    try:
        run(command, timeout_s=60)
    except CommandError:
        return False
    return True


def root_prefix() -> list[str] | None:
    """What to put before a command that needs root: nothing, sudo, or None when we can't be root."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and works(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def apt_install(package: str) -> None:
    """Install a Debian package. Raises SetupError when there is no apt, no right, or no such package."""
    prefix = root_prefix()
    if not shutil.which("apt-get"):
        raise SetupError("there is no apt-get here")
    if prefix is None:
        raise SetupError("apt-get needs root, and sudo would ask for a password")
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "apt-get", "-q", "-y"]
    install = [*apt, "-o", "DPkg::Lock::Timeout=120", "install", "--no-install-recommends", package]
    try:
        run(install)
    except CommandError:  # the lists may be missing (a fresh container) or old
        run([*apt, "update"])
        run(install)


def say(message: str) -> None:
    """A line for the person who waits that is no step."""
    print(f"  {message}", file=sys.stderr, flush=True)
