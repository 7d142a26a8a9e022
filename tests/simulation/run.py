"""Lives many days of the whole runtime, each with its own seed: `make simulation`.

make simulation DAYS=10000           from seed 0 on
make simulation DAYS=1 SEED=4711     one of them again
"""
# ruff: noqa: T201 - it is a program of the terminal

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.arguments import at_least_one
from tests.simulation.day import live

CHUNK = 20
"""Days that a process lives before it reports."""
LINE_EVERY = 500
"""Days between two lines of a log."""


def live_all(first: int, last: int) -> list[tuple[int, str]]:
    """The seeds from `first` to below `last` whose day went wrong, with what was wrong."""
    wrong = []
    for seed in range(first, last):
        try:
            live(seed)
        except Exception as error:  # noqa: BLE001 - whatever ended the day is shown whole
            wrong.append((seed, "".join(traceback.format_exception(error))))
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make simulation", description="Live many days.")
    parser.add_argument("--days", type=at_least_one, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args(arguments)
    end, begin, lived, bad = given.first + given.days, time.perf_counter(), 0, 0
    chunks = [(at, min(end, at + CHUNK)) for at in range(given.first, end, CHUNK)]
    for (at, until), wrong in zip(chunks, _each(live_all, chunks, given.at_once), strict=True):
        lived += until - at
        for seed, text in wrong:
            bad += 1
            print(f"{text}seed {seed}: FAILED; to see it again:")
            print(f"    make simulation DAYS=1 SEED={seed}", flush=True)
        if sys.stderr.isatty() or lived % LINE_EVERY == 0:
            end_of_line = "\r" if sys.stderr.isatty() else "\n"
            print(f"{lived} of {given.days} days", end=end_of_line, file=sys.stderr, flush=True)
    took_s = time.perf_counter() - begin
    print(f"simulation: {lived - bad} of {lived} days from seed {given.first} went well ({took_s:.0f} s)")
    return 1 if bad else 0


def _each(
    work: Callable[[int, int], list[tuple[int, str]]], chunks: list[tuple[int, int]], at_once: int
) -> Iterator[list[tuple[int, str]]]:
    if at_once == 1:
        yield from (work(*chunk) for chunk in chunks)
        return
    with ProcessPoolExecutor(at_once) as pool:
        yield from pool.map(work, *zip(*chunks, strict=True))


if __name__ == "__main__":
    sys.exit(main())
