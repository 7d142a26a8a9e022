"""`make docs`: the units of systemd for a checkout in /opt/orchestrator, to be read and copied."""

import sys
from pathlib import Path

from orchestrator.service.units import NAMES, Place, render

TARGET = Path(__file__).parents[1] / "deploy" / "systemd"


def main() -> int:
    TARGET.mkdir(exist_ok=True)
    for name in NAMES:
        (TARGET / name).write_text(render(name, Place()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
