"""Says to the daemon's doors what nobody should: `make fuzz`.

    make fuzz FRAMES=1000000 SEED=7

Frames of the control socket, HTTP requests, WebSocket handshakes and messages of the feed, well formed with
hostile contents, mutated, cut off, huge, slow, and many at once on one connection, go over real sockets to
the real listeners, with the real verbs and a database behind them. After each batch every door must answer a
plain request, nobody may have been left inside, and the log may tell of no error. Batch N of a run with the
seed S is the first of one with the seed S + N.
"""
# ruff: noqa: T201 - it is a program of the terminal

import argparse
import gc
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from orchestrator import aio
from orchestrator.db import lease
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import open_database
from orchestrator.settings import DatabaseSettings
from tests.arguments import at_least_one
from tests.fixtures_db import start_server_process
from tests.fuzz.batch import batch
from tests.fuzz.house import open_doors
from tests.fuzz.watch import Sink, watched
from tests.weight import own_bytes

REPORTS = 10
"""Of memory and files, evenly over the run; the first is what the others are compared with."""
MAX_GROWTH_BYTES = 24 * 2**20
"""From the first report to the last. A kilobyte that stays for each connection would be more than 100 MiB."""
MAX_MORE_FILES = 8


class Measure:
    """Memory and open files of this process as the run goes on."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []

    def take(self, frames: int) -> None:
        gc.collect()
        own, files = own_bytes("self"), sum(1 for _ in Path("/proc/self/fd").iterdir())
        self.taken.append((own, files))
        print(f"{frames:>9} frames  {own / 2**20:7.1f} MiB  {files} files", flush=True)

    @property
    def wrong(self) -> str:
        (own, files), (last_own, last_files) = self.taken[0], self.taken[-1]
        if last_own - own > MAX_GROWTH_BYTES:
            return f"memory has grown by {(last_own - own) / 2**20:.1f} MiB"
        if last_files - files > MAX_MORE_FILES:
            return f"{last_files - files} more files are open"
        return ""


async def fuzz(dsn: str, directory: Path, frames: int, seed: int, sink: Sink) -> str:
    """What is wrong, or nothing."""
    measure, done, number = Measure(), 0, 0
    step = max(1, frames // REPORTS)
    async with aio.open_bridge(), open_database(dsn, DatabaseSettings()) as database:
        await database.run(lease.prepare)
        await migrate(database)
        async with open_doors(database, directory) as doors:
            while done < frames:
                found, count = await batch(doors, seed + number, sink)
                if found:
                    print(f"to see it again:\n    make fuzz FRAMES=1 SEED={seed + number}")
                    return found
                if done // step != (done + count) // step:
                    measure.take(done + count)
                done, number = done + count, number + 1
    return measure.wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Say what nobody should.")
    parser.add_argument("--frames", type=at_least_one, default=1_000_000)
    parser.add_argument("--seed", type=int, help="otherwise one by chance, and printed")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    print(f"{given.frames} frames, seed {seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-fuzz-"))
    directory.chmod(0o755)  # PostgreSQL's user has to enter it
    begin, begin_cpu = time.perf_counter(), time.process_time()
    try:
        with start_server_process(directory / "postgres") as (_, dsn), watched() as sink:
            wrong = trio.run(partial(fuzz, dsn, directory, given.frames, seed, sink))
    finally:
        shutil.rmtree(directory)
    took_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    print(wrong or f"nothing wrong; {sink.lines} lines of log")
    print(f"{took_s:.0f} s, of which {cpu_s:.0f} s processor time of this process")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
