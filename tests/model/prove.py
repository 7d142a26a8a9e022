"""Walks a part of the daemon and its reference model through many random steps: `make prove`.

    make prove PARTS=breaker STEPS=1000000 SEED=7

A part is a module with `run(steps, seed, progress)`: it calls `progress(step)` before each step, counted
from 0, raises when the two part, and takes the same steps for the same seed.
"""
# ruff: noqa: T201 - it is a program of the terminal

import argparse
import importlib
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from tests.arguments import at_least_one

PARTS = {"allocator": "tests.model.allocator", "breaker": "tests.model.breaker"}
REPORT_EVERY = 10_000


class Run(Protocol):
    """What the module of a part has."""

    def __call__(self, steps: int, seed: int, progress: Callable[[int], None]) -> None: ...


class Progress:
    """Remembers the present step, and shows it now and then where somebody looks."""

    def __init__(self, part: str, steps: int) -> None:
        self.step = 0
        self._text = f"{part}: {{}} of {steps} steps"
        self._is_shown = sys.stderr.isatty()

    def __call__(self, step: int) -> None:
        self.step = step
        if self._is_shown and step % REPORT_EVERY == 0:
            print(self._text.format(step), end="\r", file=sys.stderr, flush=True)


def prove(part: str, run: Run, steps: int, seed: int) -> bool:
    """Whether the part took all steps as its model did; says so, or how to see the failure again."""
    print(f"{part}: {steps} steps, seed {seed}", flush=True)
    progress, begin = Progress(part, steps), time.perf_counter()
    try:
        run(steps, seed, progress)
    except Exception as error:  # noqa: BLE001 - whatever ended the walk is shown whole
        traceback.print_exception(error)
        step = progress.step
        print(f"{part}: FAILED at step {step} of seed {seed}; to see it again:")
        print(f"    make prove PARTS={part} STEPS={step + 1} SEED={seed}", flush=True)
        return False
    print(f"{part}: no step differs from the model ({time.perf_counter() - begin:.0f} s)", flush=True)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make prove", description="Walk against the models.")
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--steps", type=at_least_one, default=1_000_000)
    parser.add_argument("--seed", type=int, help="otherwise one by chance, and printed")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    results = [prove(part, _run_of(part), given.steps, seed) for part in given.parts]
    return 0 if all(results) else 1


def _run_of(part: str) -> Run:
    return cast("Run", importlib.import_module(PARTS[part]).run)


if __name__ == "__main__":
    sys.exit(main())
