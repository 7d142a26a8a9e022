"""The browser: one that is there already, else Debian's, else Playwright's own headless shell."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.setup.environment import Environment
from tools.setup.machine import CommandError, SetupError, apt_install, root_prefix, run, step

VARIABLE = "ORCHESTRATOR_BROWSER__EXECUTABLE"
PACKAGES = ("chromium-headless-shell", "chromium")

# The daemon's own search, so that set-up and daemon can't differ in what they call a browser.
FIND = f"""
import os, sys
from pathlib import Path
from orchestrator.browser.launcher import find_browser
from orchestrator.errors import BrowserMissingError
configured = os.environ.get({VARIABLE!r})
try:
    print(find_browser(Path(configured) if configured else None).path)
except BrowserMissingError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Browser:
    """The browser that `environment` will use."""

    environment: Environment

    @property
    def stamp(self) -> Path:
        return self.environment.directory / ".browser"

    def is_ready(self) -> bool:
        """Whether the browser that was found last is still there. Runs nothing."""
        try:
            path = self.stamp.read_text("utf-8")
        except OSError:
            return False
        return os.access(os.environ.get(VARIABLE) or path, os.X_OK)

    def make(self) -> None:
        """Find a browser, or install one. Raises SetupError that says what was tried and what to do."""
        self._make_driver_start()
        tried: list[str] = []
        for title, install in self._ways().items():
            try:
                with step(title, otherwise="can't be had" if tried else "none here yet"):
                    install()
                    path = self._find()
            except SetupError as error:
                tried.append(f"{title}: {_gist(error)}")
            else:
                self.stamp.write_text(str(path), "utf-8")
                return
        raise SetupError(
            "there is no browser, and none could be installed. Install the package chromium-headless-shell "
            f"or chromium, or name a Chromium in {VARIABLE}.\n" + "\n".join(f"  {line}" for line in tried)
        )

    def _make_driver_start(self) -> None:
        """Playwright's driver brings a Node.js that wants libatomic, which a small Debian lacks."""
        try:
            self._start_driver()
        except CommandError as error:
            if "libatomic" not in str(error):
                raise SetupError(f"Playwright's driver does not start: {_gist(error)}") from error
            with step("libatomic, which the browser's driver needs", otherwise="can't be had"):
                apt_install("libatomic1")
                self._start_driver()

    def _start_driver(self) -> None:
        run([str(self.environment.python), "-m", "playwright", "--version"], timeout_s=60)

    def _ways(self) -> dict[str, Callable[[], None]]:
        """How to come to a browser: titles, and what to do first. In the order in which they are tried."""
        ways: dict[str, Callable[[], None]] = {"browser": lambda: None}
        if not os.environ.get(VARIABLE):  # the operator named one: another one would not be used
            ways |= {f"browser: Debian's {package}": partial(apt_install, package) for package in PACKAGES}
            ways["browser: Playwright's headless shell"] = self._install_with_playwright
        return ways

    def _find(self) -> Path:
        path = Path(run([str(self.environment.python), "-E", "-s", "-c", FIND]).strip())
        try:
            run([str(path), "--version"], timeout_s=60)
        except CommandError as error:
            raise SetupError(f"{path} does not start: {error}") from error
        return path

    def _install_with_playwright(self) -> None:
        dependencies = ["--with-deps"] if root_prefix() is not None else []
        python = str(self.environment.python)
        run(
            [python, "-m", "playwright", "install", "--no-progress", *dependencies, "chromium-headless-shell"]
        )


def _gist(error: SetupError) -> str:
    """The line of a failed command's last words that says why."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line.startswith(("E:", "Error:"))), lines[-1])
