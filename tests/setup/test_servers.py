"""The servers that tests start, looked for on a PATH of programs that stand in for them and for apt."""

from pathlib import Path

import pytest

from tools.setup import servers
from tools.setup.machine import SetupError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The whole PATH but what a shell needs."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name in ("sh", "env", "cp", "chmod"):
        (directory / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    program(directory / "sudo", 'shift; exec "$@"')
    monkeypatch.setenv("PATH", str(directory))
    return directory


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_what_is_there_is_not_installed(programs: Path) -> None:
    for name in servers.PACKAGES:
        program(programs / name, "exit 0")
    assert servers.missing() == []
    servers.install()


def test_what_is_missing_comes_from_apt(programs: Path) -> None:
    copies = "; ".join(f"cp {programs}/sudo {programs}/{name}" for name in servers.PACKAGES)
    program(programs / "apt-get", copies)
    assert servers.missing() == list(servers.PACKAGES)
    servers.install()
    assert servers.missing() == []


def test_what_can_not_be_had_is_named_with_its_package(programs: Path) -> None:
    with pytest.raises(SetupError, match=r"tests need redis-server; install the package redis-server"):
        servers.install()
