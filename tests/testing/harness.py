"""Runs pytest, and our own program, as users do: in a directory and a process of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run_module(
    directory: Path, module: str, *args: str, environ: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """`python -m module args` in `directory`; its exit code and all that it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=directory,
        env=kept | dict(environ or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout
