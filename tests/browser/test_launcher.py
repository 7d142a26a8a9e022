"""Which of the browsers of a machine is taken."""

from pathlib import Path

import pytest

from orchestrator.browser import launcher
from orchestrator.browser.launcher import BrowserKind, find_browser
from orchestrator.errors import BrowserMissingError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any browser: `bin` is its PATH, `cache` Playwright's."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr(launcher, "SHELL_PLACES", (tmp_path / "lib" / "chromium-headless-shell",))
    return tmp_path


def install(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return path


def test_a_machine_without_a_browser_gets_a_remedy(machine: Path) -> None:
    with pytest.raises(BrowserMissingError, match="no Chromium was found") as caught:
        find_browser(None)
    assert "apt-get install chromium-headless-shell" in caught.value.remedy


def test_each_better_browser_goes_before_the_last(machine: Path) -> None:
    shell = "chrome-headless-shell-linux64/chrome-headless-shell"
    steps = [
        (machine / "bin/google-chrome", BrowserKind.FULL),
        (machine / "bin/chromium", BrowserKind.FULL),
        (machine / "cache/chromium_headless_shell-999" / shell, BrowserKind.HEADLESS_SHELL),
        (machine / "cache/chromium_headless_shell-1200" / shell, BrowserKind.HEADLESS_SHELL),
        (machine / "bin/chromium-headless-shell", BrowserKind.HEADLESS_SHELL),
        (machine / "lib/chromium-headless-shell", BrowserKind.HEADLESS_SHELL),
    ]
    for path, kind in steps:
        install(path)
        found = find_browser(None)
        assert (found.path, found.kind) == (path, kind)
    own = install(machine / "mine/chrome")
    assert find_browser(own).path == own


def test_a_configured_program_that_is_none_is_named(machine: Path) -> None:
    install(machine / "bin/chromium")
    plain = machine / "plain"
    plain.touch(0o644)
    for path in (plain, machine / "missing", machine):
        with pytest.raises(BrowserMissingError, match=str(path)):
            find_browser(path)


def test_only_full_chromium_is_told_to_leave_its_hidden_pages(machine: Path) -> None:
    full = find_browser(install(machine / "bin/chromium"))
    shell = find_browser(install(machine / "bin/chromium-headless-shell"))
    assert "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup" in full.arguments
    assert not any(argument.startswith("--disable-features") for argument in shell.arguments)
