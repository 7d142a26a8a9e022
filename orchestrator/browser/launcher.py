"""Finds the browser of this machine and knows how to launch it."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from orchestrator.errors import BrowserMissingError

log = structlog.get_logger("browser.launcher")

SHELL_NAMES = ("chromium-headless-shell", "chrome-headless-shell", "headless_shell")
SHELL_PLACES = (
    Path("/usr/lib/chromium/chromium-headless-shell"),
    Path("/usr/lib64/chromium-browser/headless_shell"),
)
FULL_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REMEDY = (
    "install one with: apt-get install chromium-headless-shell, or elsewhere: "
    "playwright install --only-shell chromium; or name one in browser.executable"
)

JS_HEAP_LIMIT_MIB = 512
"""A page whose scripts hold more than this dies; without a limit it may take 4 GiB."""

COMMON_ARGUMENTS = (
    "--disable-gpu",
    f"--js-flags=--max-old-space-size={JS_HEAP_LIMIT_MIB}",
    # No connection to anybody but the pages' own hosts: no look-ups for links that are only shown, no
    # QUIC or WebRTC past the proxy that guards the context, no reports.
    "--dns-prefetch-disable",
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-domain-reliability",
    "--no-pings",
)
FULL_ARGUMENTS = (
    # Full Chromium opens two hidden pages in each context for these.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    "--disable-client-side-phishing-detection",
)


class BrowserKind(StrEnum):
    """What kind of build it is; the shell needs a third of the memory and CPU of the full one."""

    HEADLESS_SHELL = "headless-shell"
    FULL = "chromium"


@dataclass(frozen=True, slots=True)
class FoundBrowser:
    """A browser that can be launched."""

    path: Path
    kind: BrowserKind

    @property
    def arguments(self) -> list[str]:
        extra = FULL_ARGUMENTS if self.kind is BrowserKind.FULL else ()
        return [*COMMON_ARGUMENTS, *extra]


def find_browser(configured: Path | None) -> FoundBrowser:
    """The configured browser, else a headless shell of the system or of Playwright, else a full Chromium.

    Raises BrowserMissingError, which says what to install.
    """
    if configured is not None:
        if not _is_program(configured):
            raise BrowserMissingError(
                f"browser.executable: {configured} is not a program that can be run", remedy=REMEDY
            )
        return FoundBrowser(configured, _kind(configured))
    for path in _candidates():
        if _is_program(path):
            return FoundBrowser(path, _kind(path))
    raise BrowserMissingError("no Chromium was found on this machine", remedy=REMEDY)


def is_sandboxed() -> bool:
    """Chromium refuses its sandbox to root; everybody else gets it."""
    return os.geteuid() != 0


def _candidates() -> Iterator[Path]:
    # The places come first: Debian's command on PATH is a shell script that stays as one more process.
    yield from SHELL_PLACES
    yield from _on_path(SHELL_NAMES)
    yield from _from_playwright()
    yield from _on_path(FULL_NAMES)


def _on_path(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        found = shutil.which(name)
        if found is not None:
            yield Path(found)


def _from_playwright() -> Iterator[Path]:
    """Playwright's own headless shells, newest first."""
    configured = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    cache = Path(configured) if configured not in ("", "0") else Path.home() / ".cache/ms-playwright"
    shells = cache.glob("chromium_headless_shell-*/*/*shell")
    yield from sorted(shells, key=_revision, reverse=True)


def _revision(path: Path) -> int:
    match = re.search(r"chromium_headless_shell-(\d+)", str(path))
    return int(match[1]) if match else 0


def _kind(path: Path) -> BrowserKind:
    return BrowserKind.HEADLESS_SHELL if "shell" in path.name else BrowserKind.FULL


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
