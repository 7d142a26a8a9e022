"""docs/first-site.md is followed as it stands; all other shell blocks are run against its daemon."""

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from orchestrator.control import client
from orchestrator.db.installation import find_installation
from orchestrator.errors import ControlError
from tests.alerts.webhook import webhook
from tests.integration.daemon import processes_of, wait_until
from tests.servers import free_port
from tests.shell_blocks import ROOT, Block, shell_blocks

TUTORIAL = "docs/first-site.md"
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIVES = ("python -m orchestrator.demo", "orchestrator run --config orchestrator.toml\n")
STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 30 "$@"; }\n'
"""An error, or an answer that refuses, ends the script."""
ADMIN = "token-of-the-test"
PATIENCE_S = 240.0
"""Until the first post is out; the machine may be busy."""

pytestmark = pytest.mark.timeout(600)


@dataclass
class Reader:
    """Somebody who types what the documents say, in a directory of their own."""

    home: Path
    nursery: trio.Nursery
    where: Path = field(init=False)
    http_port: int = field(default_factory=free_port)
    site_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.where = self.home
        self._programs = self.home / "programs"
        self._programs.mkdir()
        make = f"{shutil.which('make')} --dry-run -C {ROOT}"
        ours = f"{sys.executable} -m orchestrator"
        for name, command in {"orchestrator": ours, "make": make, "python": sys.executable}.items():
            (self._programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (self._programs / name).chmod(0o755)

    @property
    def socket(self) -> Path:
        return self.where / "state" / "control.sock"

    def environment(self) -> dict[str, str]:
        """Of a shell in which the program can be found, and the client programs of PostgreSQL."""
        servers = find_installation().folder / "bin"
        return {**os.environ, "PATH": f"{self._programs}:{servers}:{os.environ['PATH']}"}

    def mine(self, text: str) -> str:
        """With the reader's own places and ports for those of the text."""
        state = str(self.where / "state")
        for old, new in {
            "/path/to/the/checkout/.venv/bin": str(self._programs),
            ".venv/lib/python3*/site-packages": sysconfig.get_path("purelib"),
            ".venv/bin/": "",
            "~/.local/state/orchestrator-demo": state,
            "-h STATE/": f"-h {state}/",
            "--port 8711": f"--port {self.site_port}",
            "port = 8710": f"port = {self.http_port}",
            "127.0.0.1:8700": f"127.0.0.1:{self.http_port}",
            "127.0.0.1:8701": f"127.0.0.1:{self.site_port}",
            "127.0.0.1:8711": f"127.0.0.1:{self.site_port}",
            "@ada": "@me",
        }.items():
            text = text.replace(old, new)
        return text

    async def type(self, block: Block, environment: Mapping[str, str] | None = None) -> str:
        """Run the block; what it prints. It is in whichever directory the block has gone to."""
        script = f"{STRICT}{self.mine(block.text)}\npwd"
        done = await trio.run_process(
            ["bash", "-c", script],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=self.where,
            env=self.environment() | dict(environment or {}),
        )
        said = done.stdout.decode()
        assert done.returncode == 0, f"{block}\n{block.text}\n{said}\n{done.stderr.decode()}"
        *lines, place = said.splitlines()
        self.where = Path(place)
        return "\n".join(lines)

    def start(self, block: Block, *options: str) -> None:
        """What lives until it is ended."""
        command = [*self.mine(block.text).split(), *options]
        self.nursery.start_soon(self._live, command)

    async def _live(self, command: list[str]) -> None:
        with (self.home / "output").open("a") as output:
            await trio.run_process(
                command,
                stdout=output,
                stderr=output,
                check=False,
                cwd=self.where,
                env=self.environment() | {"ORCHESTRATOR_JOBS__PLAN__EVERY_S": "20"},
            )

    def said(self) -> str:
        return (self.home / "output").read_text()[-4000:]


async def follow(reader: Reader) -> None:
    """docs/first-site.md, up to the first post that is out."""
    files = FILE.findall((ROOT / TUTORIAL).read_text())
    assert [name for name, _ in files] == ["mysite.toml", "orchestrator.toml", "texts/garden.md"]
    for block in [block for block in shell_blocks() if block.page == TUTORIAL]:
        if not block.text.startswith(LIVES):
            await reader.type(block)
        elif "orchestrator.demo" in block.text:
            for name, text in files:
                (reader.where / name).write_text(reader.mine(text))
            (reader.where / "token").write_text(ADMIN)
            reader.start(block, "--admin-token-file", "token")
        else:
            reader.start(block)
            await wait_until(partial(is_out, reader), "the first post is out", reader.said, PATIENCE_S)


async def is_out(reader: Reader) -> bool:
    """Whether a post is published."""
    with suppress(ControlError):  # it may still be starting
        ask = partial(client.request, reader.socket, "posts", {"state": "published"})
        found: dict[str, Any] = await trio.to_thread.run_sync(ask)
        return bool(found["posts"])
    return False


async def test_every_command_of_the_documents_works_on_the_daemon_of_the_tutorial(state_dir: Path) -> None:
    async with trio.open_nursery() as nursery:
        reader = Reader(state_dir, nursery)
        try:
            await follow(reader)
            (reader.where / "state" / "site-admin-token").write_text(ADMIN)
            with webhook() as hook:
                environment = {
                    "ORCHESTRATOR_CONFIG": "orchestrator.toml",
                    "ORCHESTRATOR_ALERTS__DESTINATIONS__OPS__URL": hook.url,
                    "DSN": f"postgresql://orchestrator@/orchestrator?host={reader.where}/state/postgres/run",
                }
                for block in shell_blocks():
                    if block.page != TUTORIAL and block.why_not is None:
                        said = await reader.type(block, environment)
                        if "/admin/ledger" in block.text:
                            lines = said.splitlines()
                            assert lines == 2 * lines[: len(lines) // 2] != []
        finally:
            for left in processes_of(state_dir):
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            nursery.cancel_scope.cancel()
