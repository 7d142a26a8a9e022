"""`python -m tools.setup run|check|test|lock`: what `make` calls before everything else."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tools.setup import servers
from tools.setup.browser import Browser
from tools.setup.environment import Environment
from tools.setup.lock import lock
from tools.setup.machine import SetupError, say

ROOT = Path(__file__).parents[2]

KIND = {"run": "run", "check": "dev", "test": "dev", "bench": "dev"}
OPTIONS = {"--only-look", "--with-this-python"}
NEEDS_BROWSER = {"test", "bench"}
NEEDS_SERVERS = {"test", "bench"}


def main(arguments: list[str]) -> int:
    goal, *rest = [argument for argument in arguments if argument not in OPTIONS]
    environment = Environment(ROOT)
    if goal == "lock":
        return report_errors(lambda: lock(ROOT, rest))
    if "--only-look" in arguments:
        return 0 if is_ready(environment, goal) else 1
    is_python_given = "--with-this-python" in arguments
    return report_errors(lambda: set_up(environment, goal, is_python_given=is_python_given))


def is_ready(environment: Environment, goal: str) -> bool:
    """Whether nothing is left to do for this goal of the Makefile."""
    if goal in NEEDS_SERVERS and servers.missing():
        return False
    return environment.is_ready(KIND[goal]) and (goal == "check" or Browser(environment).is_ready())


def set_up(environment: Environment, goal: str, *, is_python_given: bool) -> None:
    with environment.lock():
        is_other = is_python_given and not environment.is_of(Path(os.path.realpath(sys.executable)))
        if not is_other and is_ready(environment, goal):
            return
        print(f"Setting up for `make {goal}`", flush=True)
        if is_other:
            environment.discard()
        if not environment.is_ready(KIND[goal]):
            environment.make(KIND[goal])
        if goal != "check":
            make_browser(Browser(environment), is_needed=goal in NEEDS_BROWSER)
        if goal in NEEDS_SERVERS:
            servers.install()


def make_browser(browser: Browser, *, is_needed: bool) -> None:
    """Without a browser the daemon still runs, degraded; tests and figures do not."""
    if browser.is_ready():
        return
    try:
        browser.make()
    except SetupError as error:
        if is_needed:
            raise
        say(f"{error}\n  Going on without one: the daemon starts in degraded mode and looks for it again.")


def report_errors(work: Callable[[], None]) -> int:
    try:
        work()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the same command goes on with it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
