"""Puts small faults into the code, one at a time, and shows which test finds each: `make mutants`.

    make mutants                                every table of tools/mutants/
    make mutants ARGS=breaker                   one of them
    make mutants ARGS="breaker --only stale"    its mutants with this in their name

A table names the tests that must find its mutants, and for each mutant a text that stands exactly once in
a file, and what is put in its place. All of it happens in copies of the code and of the tests. The exit code
is 1 when a mutant survives, when a text does not stand exactly once, or when a mutant can't even be imported.
"""

import argparse
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import trio

ROOT = Path(__file__).parents[1]
TABLES = Path(__file__).parent / "mutants"
AT_ONCE = 2
TEST_LIMIT_S = 30
"""For one test: a mutant that hangs is found by it."""
LIMIT_S = 300
"""For all tests of one mutant, should even that not help."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)
_PASSED, _SOME_FAILED = 0, 1  # pytest's exit codes; any other says that it could not even run them


class End(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"
    """It can't be imported or its tests can't be run: that proves nothing."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small fault."""

    name: str
    file: str
    """From the root of the project."""
    old: str
    """Stands in the file exactly once."""
    new: str
    breaks: str
    """The rule that no longer holds."""


@dataclass(frozen=True, slots=True)
class Table:
    """The mutants of one part and the tests that must find them, in this order."""

    part: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """How the tests dealt with one mutant."""

    end: End
    by: str
    """The first test that failed, or what pytest said last."""
    seconds: float


class Said(NamedTuple):
    """What a process that ended left behind."""

    code: int
    stdout: str
    stderr: str


def load(path: Path) -> Table:
    content = tomllib.loads(path.read_text("utf-8"))
    mutants = tuple(Mutant(**fields) for fields in content["mutant"])
    return Table(path.stem, tuple(content["tests"]), mutants)


def misfits(table: Table, root: Path) -> list[str]:
    """A line for each mutant that can't be put in as it says."""
    lines = []
    for mutant in table.mutants:
        count = (root / mutant.file).read_text("utf-8").count(mutant.old)
        if count != 1:
            lines.append(f"{table.part}: “{mutant.name}”: its old text stands {count} times in {mutant.file}")
        elif mutant.old == mutant.new:
            lines.append(f"{table.part}: “{mutant.name}” changes nothing")
    names = [mutant.name for mutant in table.mutants]
    lines += [
        f"{table.part}: two are named “{name}”" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    return lines


async def try_table(table: Table, root: Path) -> bool:
    """Run the tests without a fault, then with each; whether every one was caught."""
    results: dict[str, Result] = {}
    with ExitStack() as stack:
        copies = [Path(stack.enter_context(TemporaryDirectory(prefix="mutants-"))) for _ in range(AT_ONCE)]
        for copy in copies:
            await trio.to_thread.run_sync(_copy, table, root, copy)
        end, by = await _test_whole(table, copies[0])
        if end is not End.SURVIVED:
            print(f"{table.part}: its tests fail without any mutant: {by}")
            return False
        waiting = iter(table.mutants)
        async with trio.open_nursery() as nursery:
            for copy in copies:
                nursery.start_soon(_try_one_by_one, table, waiting, copy, results)
    bad = [mutant for mutant in table.mutants if results[mutant.name].end is not End.CAUGHT]
    print(f"{table.part}: {len(results) - len(bad)} of {len(results)} mutants caught")
    for mutant in bad:
        print(f"{table.part}: {results[mutant.name].end}: “{mutant.name}” ({mutant.breaks})")
    return not bad


async def _try_one_by_one(
    table: Table, waiting: Iterator[Mutant], copy: Path, results: dict[str, Result]
) -> None:
    for mutant in waiting:
        begin, file = trio.current_time(), copy / mutant.file
        whole = file.read_text("utf-8")
        _write(file, whole.replace(mutant.old, mutant.new))
        end, by = await _test(table, copy)
        _write(file, whole)
        results[mutant.name] = result = Result(end, by, trio.current_time() - begin)
        print(f"{result.end:8} {result.seconds:5.1f} s  {mutant.name}\n{'':18}{result.by}", flush=True)


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    # Byte code is told apart by second and size alone, so it could be taken for another mutant's.
    Path(cache_from_source(str(file))).unlink(missing_ok=True)


def _copy(table: Table, root: Path, copy: Path) -> None:
    """What the mutants' files and their tests stand in, and the project's configuration."""
    paths = [*(mutant.file for mutant in table.mutants), *table.tests, "pyproject.toml"]
    for name in sorted({Path(path).parts[0] for path in paths}):
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (root / name).exists():
            shutil.copy2(root / name, copy / name)


async def _test_whole(table: Table, copy: Path) -> tuple[End, str]:
    """Without a mutant: whether the tests pass, and whether it is the copy that they test."""
    for file in sorted({mutant.file for mutant in table.mutants}):
        code = f"import {file.removesuffix('.py').replace('/', '.')} as module; print(module.__file__)"
        said = await _run(["-c", code], copy)
        if said.stdout.strip() != str(copy / file):
            return End.BROKEN, f"{file} is not imported from the copy: {_last(said.stdout + said.stderr)}"
    return await _test(table, copy)


async def _test(table: Table, copy: Path) -> tuple[End, str]:
    options = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", f"--timeout={TEST_LIMIT_S}"]
    with trio.move_on_after(LIMIT_S):
        said = await _run(["-m", "pytest", *options, *table.tests], copy)
        failed = _FAILED.search(said.stdout)
        if said.code == _PASSED:
            return End.SURVIVED, _last(said.stdout)
        if said.code == _SOME_FAILED and failed is not None:
            hung = " (time limit)" if "Timeout (>" in (failed[2] or "") else ""
            return End.CAUGHT, failed[1] + hung
        return End.BROKEN, _last(said.stdout + said.stderr)
    return End.CAUGHT, f"the limit of {LIMIT_S} s"


async def _run(arguments: Sequence[str], copy: Path) -> Said:
    done = await trio.run_process(
        [sys.executable, *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "1000"},  # or the reasons are cut off
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _last(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "nothing was said")


async def try_tables(tables: Iterable[Table], root: Path) -> bool:
    """Whether every mutant of every table fits and is caught."""
    tables = list(tables)
    lines = [line for table in tables for line in misfits(table, root)]
    if lines:
        print("\n".join(lines))
        return False
    return all([await try_table(table, root) for table in tables])


def main(arguments: Sequence[str] | None = None) -> int:
    parts = sorted(path.stem for path in TABLES.glob("*.toml"))
    parser = argparse.ArgumentParser(prog="make mutants", description="Put faults in and see them found.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(parts))
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants with this in their name")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(parts):
        parser.error(f"no table for {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    tables = [load(TABLES / f"{part}.toml") for part in given.parts or parts]
    narrowed = [Table(t.part, t.tests, tuple(m for m in t.mutants if given.only in m.name)) for t in tables]
    chosen = [table for table in narrowed if table.mutants]
    if not chosen:
        parser.error(f"no mutant's name contains {given.only}")
    return 0 if trio.run(try_tables, chosen, ROOT) else 1


if __name__ == "__main__":
    sys.exit(main())
