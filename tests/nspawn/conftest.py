"""`make systemd-test`: what needs root, a container and a while is not part of the ordinary suite."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.nspawn.machine import Machine, boot
from tests.nspawn.root import ROOT, WANTED, build

collect_ignore_glob = [] if os.environ.get("SYSTEMD_TEST") else ["test_*.py"]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A Debian that has just booted, with this checkout's program, which is no service yet."""
    assert os.geteuid() == 0, "to boot a container takes root"
    missing = [package for program, package in WANTED.items() if shutil.which(program) is None]
    assert not missing, f"install the packages {' '.join(missing)}"
    build()
    with boot(ROOT) as machine:
        yield machine
