"""Writes each dashboard as JSON beside this file: `make dashboards`."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import allocator, jobs, overview, posting, resources
from dashboards.parts import Board, build

BOARDS = (overview.BOARD, allocator.BOARD, jobs.BOARD, posting.BOARD, resources.BOARD)
PLACE = Path(__file__).parent


def render(board: Board) -> str:
    """The dashboard's JSON, as it stands in its file."""
    document = build(board, BOARDS).build()
    return json.dumps(document, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def file_of(board: Board) -> Path:
    return PLACE / f"{board.uid.removeprefix('orchestrator-')}.json"


def main() -> int:
    for board in BOARDS:
        file_of(board).write_text(render(board), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
