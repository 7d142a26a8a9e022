"""`make lock`: pins every package, with hashes, for every supported Python and platform."""

from collections.abc import Sequence
from pathlib import Path

from tools.setup.environment import Environment
from tools.setup.machine import run, step

# --universal: one file for all platforms. Neither header, notes nor addresses: they would name this machine.
COMPILE = [
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--generate-hashes",
    "--python-version=3.11",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
]

INPUTS = {
    "run": ("pyproject.toml", "--group", "setup"),
    "dev": ("pyproject.toml", "--group", "setup", "--group", "dev"),
    "lock": ("--group", "lock"),
}


def lock(root: Path, arguments: Sequence[str]) -> None:
    """Write requirements/*.txt. `arguments` go to uv, such as `--upgrade`. Raises SetupError."""
    environment = Environment(root, ".venv-lock")
    with environment.lock():
        if not environment.is_ready("lock"):
            environment.make("lock")
        for kind, inputs in INPUTS.items():
            with step(f"requirements/{kind}.txt"):
                output = environment.requirements(kind).relative_to(root)
                uv = str(environment.directory / "bin" / "uv")
                run([uv, *COMPILE, *arguments, *inputs, "--output-file", str(output)])
