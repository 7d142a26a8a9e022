"""The bundled site in a process of its own, and accounts with posts on it."""

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.daemon import user_environment

START_LIMIT_S = 60.0
END_LIMIT_S = 10.0


@contextmanager
def running_site(directory: Path, passwords: Mapping[str, str]) -> Iterator[str]:
    """The site's address; `passwords` by account."""
    directory.mkdir()
    accounts = directory / "accounts.json"
    accounts.write_text(json.dumps([{"name": n, "password": p} for n, p in passwords.items()]))
    command = [
        *(sys.executable, "-m", "orchestrator.demo", "--port", "0", "--data", str(directory / "data")),
        *("--accounts-file", str(accounts), "--die-with-parent"),
    ]
    with (directory / "site.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=user_environment()
        )
    assert process.stdout is not None
    try:
        with process.stdout:
            yield _address(process)
    finally:
        process.terminate()
        process.wait(END_LIMIT_S)


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    is_readable, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
    words = process.stdout.readline().split() if is_readable else []
    if words[:1] != ["ready"]:
        raise RuntimeError("the bundled site did not start")
    return words[1].rstrip("/")
