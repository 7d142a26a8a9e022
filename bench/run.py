"""Takes the figures of this program and prints them with the machine's description.

    make bench                                        all of them, about ten minutes
    make bench ARGS="scraping allocator"              some
    make bench ARGS="--write docs/figures.md"         all, and the results into the document

A figure that misses its aim is no error: the table says so.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
import trio
from rich.console import Console

from bench import (
    accounts,
    actors,
    allocation,
    api,
    bridge,
    cache,
    exposition,
    faults,
    feed,
    learning,
    machine,
    memory,
    recovery,
    scraping,
    slow,
    startup,
)
from bench.figure import Figure, Report, as_markdown, print_figures
from orchestrator import aio
from orchestrator.db.embedded import open_embedded
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import open_database
from orchestrator.settings import DatabaseSettings

NAMES = (
    "startup",
    "memory",
    "recovery",
    "accounts",
    "scraping",
    "metrics",
    "faults",
    "allocator",
    "actors",
    "bridge",
    "learning",
    "cache",
    "api",
    "slow",
    "feed",
)
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> None:
    given = _parser().parse_args()
    names = given.names or list(NAMES)
    # Errors only: what is measured shall not write to this terminal.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("error"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    description = machine.describe()
    reports = []
    for name in names:
        print(f"taking {name} …", file=sys.stderr, flush=True)
        reports.append(_take(name, given))
    _print(description, reports)
    if given.write is not None:
        _write(given.write, description, reports)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description="Take the figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=7, help="of each comparison; medians are shown")
    parser.add_argument("--minutes", type=float, default=3, help="of demo work before memory is read")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the results into FILE's results block"
    )
    return parser


def _take(name: str, given: argparse.Namespace) -> Report:
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-bench-"))
    directory.chmod(0o755)  # PostgreSQL runs as another user when we are root
    try:
        match name:
            case "startup":
                return startup.measure(directory, given.rounds)
            case "memory":
                return memory.measure(directory, given.minutes)
            case "recovery" | "accounts" | "slow":
                measures = {"recovery": recovery.measure, "accounts": accounts.measure, "slow": slow.measure}
                return measures[name](directory, max(1, given.rounds // 3))
            case "metrics":
                return exposition.measure(directory, given.rounds)
            case "feed":
                return feed.measure(directory)
            case "faults":
                return trio.run(faults.measure, directory, given.rounds)
            case "learning":
                return learning.measure()
            case "cache":
                return cache.measure(directory, given.rounds)
            case "actors":
                return trio.run(actors.measure, given.rounds)
            case "allocator":
                return trio.run(allocation.measure, given.rounds)
            case _:
                return trio.run(_with_database, name, directory, given.rounds)
    finally:
        shutil.rmtree(directory)


async def _with_database(name: str, directory: Path, rounds: int) -> Report:
    async with aio.open_bridge(), open_embedded(directory / "postgres") as server:
        if name == "bridge":
            return await bridge.measure(server.dsn, rounds)
        async with open_database(server.dsn, DatabaseSettings()) as database:
            await migrate(database)
            if name == "api":
                return await api.measure(database)
            return await scraping.measure(directory, database, rounds)


def _print(description: Sequence[str], reports: Sequence[Report]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    print_figures(_figures(reports), console)
    print()
    print("\n".join([*description, *_notes(reports)]))


def _write(path: Path, description: Sequence[str], reports: Sequence[Report]) -> None:
    """Replace what stands between the two marks."""
    head, begin, rest = path.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} lacks the lines {BEGIN} and {END}")
    said = "\n".join([f"taken      {datetime.now(UTC):%Y-%m-%d}", *description, *_notes(reports)])
    block = f"{BEGIN}\n\n{as_markdown(_figures(reports))}\n\n```\n{said}\n```\n\n{END}"
    path.write_text(f"{head}{block}{tail}")


def _figures(reports: Sequence[Report]) -> list[Figure]:
    return [figure for report in reports for figure in report.figures]


def _notes(reports: Sequence[Report]) -> list[str]:
    return [note for report in reports for note in report.notes]


if __name__ == "__main__":
    main()
