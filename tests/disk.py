"""A small disk that a test can fill, for real: a file system in memory, which only root can mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage

CAN_MOUNT = os.geteuid() == 0


@contextmanager
def small_disk(place: Path, size_mib: int) -> Iterator[Path]:
    """An empty directory at `place` with so much room; everybody may write there."""
    place.mkdir()
    options = f"size={size_mib}m,mode=0777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Until the end of the block there is not a byte left."""
    filler = disk / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (2**20, 4096):
            with suppress(OSError):  # there is no room left
                while disk_usage(disk).free:
                    os.write(file, bytes(size))
        yield
    finally:
        os.close(file)
        filler.unlink()
