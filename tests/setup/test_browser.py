"""The browser that set-up finds or installs, tried with programs that stand in for apt and Playwright."""

import os
import shutil
from pathlib import Path

import pytest

from tools.setup.browser import VARIABLE, Browser
from tools.setup.environment import Environment
from tools.setup.machine import SetupError


class Machine:
    """A machine whose programs are scripts that we write, and that note how they were called."""

    def __init__(self, directory: Path) -> None:
        self.programs = directory / "programs"
        self.programs.mkdir()
        self.calls_file = directory / "calls"
        self.chromium = directory / "chromium"
        self.environment = Environment(directory / "checkout")
        self.environment.python.parent.mkdir(parents=True)
        # The environment's Python: finds the browser once it is there, and can install one itself.
        self.program(
            self.environment.python,
            f'case "$*" in *"playwright install"*) {self.note} ${{PLAYWRIGHT:-exit 1}};;\n'
            '*"playwright --version"*) exit 0;;\n'
            f'*) [ -x {self.chromium} ] && echo {self.chromium} || {{ echo "no Chromium"; exit 1; }};; esac',
        )

    @property
    def note(self) -> str:
        return f'echo "$(basename $0) $*" >> {self.calls_file};'

    @property
    def install(self) -> str:
        return f"printf '#!/bin/sh\\n' > {self.chromium}; chmod +x {self.chromium}"

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    def program(self, path: Path, body: str) -> None:
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def has_apt(self, body: str) -> None:
        self.program(self.programs / "apt-get", f"{self.note}\n{body}")


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without any browser, where we are root."""
    made = Machine(tmp_path)
    for name in ("sh", "env", "basename", "chmod"):
        found = shutil.which(name)
        assert found is not None
        (made.programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(made.programs))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("PLAYWRIGHT", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


def packages_asked_for(computer: Machine) -> list[str]:
    return [call.split()[-1] for call in computer.calls if call.startswith("apt-get")]


def test_a_browser_that_is_there_is_used_and_nothing_is_installed(computer: Machine) -> None:
    computer.program(computer.chromium, "")
    computer.has_apt("exit 1")
    browser = Browser(computer.environment)
    assert not browser.is_ready()
    browser.make()
    assert browser.is_ready()
    assert computer.calls == []


def test_a_browser_that_vanished_is_looked_for_again(computer: Machine) -> None:
    computer.program(computer.chromium, "")
    browser = Browser(computer.environment)
    browser.make()
    computer.chromium.unlink()
    assert not browser.is_ready()


def test_debians_headless_shell_is_the_first_choice(computer: Machine) -> None:
    computer.has_apt(computer.install)
    Browser(computer.environment).make()
    assert packages_asked_for(computer) == ["chromium-headless-shell"]


def test_the_package_lists_are_fetched_when_they_are_missing(computer: Machine) -> None:
    lists = computer.programs / "lists"
    computer.has_apt(
        f'case "$*" in *update) echo > {lists}; exit 0;; esac; [ -e {lists} ] || exit 100; {computer.install}'
    )
    Browser(computer.environment).make()
    assert packages_asked_for(computer) == ["chromium-headless-shell", "update", "chromium-headless-shell"]


def test_full_chromium_is_taken_where_there_is_no_headless_shell(computer: Machine) -> None:
    computer.has_apt(f'case "$*" in *shell) echo "E: no such package"; exit 100;; esac; {computer.install}')
    Browser(computer.environment).make()
    assert packages_asked_for(computer)[-1] == "chromium"


def test_playwrights_own_is_the_last_resort_and_brings_its_libraries(
    computer: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer.has_apt("exit 100")
    script = computer.programs / "install"
    computer.program(script, computer.install)
    monkeypatch.setenv("PLAYWRIGHT", str(script))
    Browser(computer.environment).make()
    assert computer.calls[-1].endswith("--with-deps chromium-headless-shell")


def test_without_roots_rights_apt_is_not_tried_and_playwright_brings_no_libraries(
    computer: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer.has_apt(computer.install)
    script = computer.programs / "install"
    computer.program(script, computer.install)
    monkeypatch.setenv("PLAYWRIGHT", str(script))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    Browser(computer.environment).make()
    assert packages_asked_for(computer) == []
    assert "--with-deps" not in computer.calls[-1]


def test_sudo_is_used_only_when_it_asks_for_no_password(
    computer: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    computer.has_apt(computer.install)
    computer.program(computer.programs / "sudo", 'shift; [ "$1" = true ] && exit 0; exec "$@"')
    Browser(computer.environment).make()
    assert packages_asked_for(computer) == ["chromium-headless-shell"]


def test_where_none_can_be_had_one_message_says_what_was_tried_and_what_to_do(computer: Machine) -> None:
    computer.has_apt('echo "E: Unable to locate package"; exit 100')
    with pytest.raises(SetupError) as caught:
        Browser(computer.environment).make()
    first, *tried = str(caught.value).splitlines()
    assert first.startswith("there is no browser, and none could be installed. Install the package")
    assert [line.split(":")[-1].strip() for line in tried[:2]] == ["no Chromium", "Unable to locate package"]
    assert len(tried) == 4


def test_a_browser_that_does_not_start_is_not_taken(computer: Machine) -> None:
    computer.program(computer.chromium, "echo 'libnss3.so: cannot open shared object file'; exit 127")
    with pytest.raises(SetupError, match=r"browser: libnss3\.so: cannot open shared object file"):
        Browser(computer.environment).make()


def test_a_library_that_the_driver_lacks_is_installed(computer: Machine) -> None:
    computer.has_apt(f"touch {computer.programs}/libatomic")
    computer.program(computer.chromium, "")
    computer.program(
        computer.environment.python,
        f'case "$*" in *"playwright --version"*) [ -e {computer.programs}/libatomic ] ||\n'
        '  { echo "node: error while loading shared libraries: libatomic.so.1" >&2; exit 127; };;\n'
        f"*) echo {computer.chromium};; esac",
    )
    computer.program(computer.programs / "touch", f": > {computer.programs}/libatomic")
    Browser(computer.environment).make()
    assert [call.split()[-1] for call in computer.calls] == ["libatomic1"]


def test_a_driver_that_fails_for_another_reason_is_told(computer: Machine) -> None:
    computer.program(computer.environment.python, 'echo "Error: no driver here" >&2; exit 1')
    with pytest.raises(SetupError, match="driver does not start: Error: no driver here"):
        Browser(computer.environment).make()


def test_the_browser_that_the_operator_names_is_the_only_one_that_counts(
    computer: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer.has_apt(computer.install)
    monkeypatch.setenv(VARIABLE, "/nowhere/chromium")
    with pytest.raises(SetupError):
        Browser(computer.environment).make()
    assert computer.calls == []
