"""The daemon with a wall clock that jumps while it runs: `python -m tests.chaos.stepped run …`.

All of its Python code that asks for the time is told that of the machine and so much more as a file says at
that moment. Its children, what waits and the log have the machine's clocks. (libfaketime, which would do it
from outside, breaks waits with a limit: Python's threads then stand still for seconds.)
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

STEPS = "CHAOS_STEPS"
"""The variable that names the file, which has seconds."""


def jumping(clock: Callable[[], float], file: Path) -> Callable[[], float]:
    """The clock, ahead by what the file says."""
    return lambda: clock() + float(file.read_text())


if __name__ == "__main__":
    time.time = jumping(time.time, Path(os.environ[STEPS]))
    from orchestrator.cli import main  # whatever takes `time.time` at its import takes this one

    main()
