"""Writes docs/errors.md from the errors themselves: `make docs`."""

from collections.abc import Iterator
from pathlib import Path

from orchestrator import errors
from orchestrator.errors import OrchestratorError

TARGET = Path(__file__).parents[1] / "docs" / "errors.md"

HEAD = """\
# Errors

Every error that the program tells of, by the name that it has in tracebacks (`--debug`) and in tests of
[your own jobs](own-jobs.md). This page is made from the code (`make docs`); a test keeps it up to date.
Each comes as one line that names the thing and says what to do. Exit codes are in [cli.md](cli.md), what to
do about alerts is in the [runbook](runbook.md), and why a daemon may not start is in
[operations.md](operations.md#when-it-does-not-start).

For a run of a job an error is one of three things: `transient`, likely to pass by itself, so the run is
tried again; `permanent`, so the run is given up; `budget`, a limit is reached, and the run waits for the
next period.

| error | a kind of | for a run | what it means |
|---|---|---|---|
"""


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, OrchestratorError):
            text = " ".join((kind.__doc__ or "").split()).replace("|", r"\|")
            base = kind.__base__.__name__ if kind.__base__ not in (None, Exception) else ""
            yield f"| `{name}` | {f'`{base}`' if base else ''} | {kind.failure} | {text} |\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
    print(f"{TARGET.name} is up to date")
