"""What a process weighs by itself, for comparing it with itself later."""

import re
from pathlib import Path

FIGURES = re.compile(r"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s*(\d+) kB$", re.MULTILINE)


def own_bytes(pid: int | str) -> int:
    """Heaps, stacks and a share of shared memory, also what is swapped out; 0 when it has ended.

    The pages of program files are left out. Whether they are private depends on who else runs the same
    program at that moment: another browser or driver that ends adds 50 MB and more to ours.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(map(int, FIGURES.findall(rollup)))
