"""Pictures of what the dashboards show, for docs/images: the demo and a real Prometheus, with some trouble.

make pictures              twelve minutes
make pictures MINUTES=3    fewer
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from dashboards.__main__ import BOARDS, file_of
from dashboards.parts import Board
from tests.dashboards.drawing import Series, draw
from tests.dashboards.prometheus import Document, Server, prometheus
from tests.dashboards.test_real import address_of
from tests.integration.daemon import WITH_READERS, Daemon, running

PLACE = Path(__file__).parents[2] / "docs" / "images"
SPEED = 240.0
"""Of `orchestrator demo`."""
STEP_S = 3
RATE_INTERVAL = "15s"
"""What `$__rate_interval` is here: scrapes come each second."""
TROUBLE = (
    # share of the time: what happens then
    (0.35, "the site answers with errors"),
    (0.45, "the site is well again"),
    (0.55, "plan is paused"),
    (0.70, "plan goes on"),
)


def file_for(board: Board) -> Path:
    return PLACE / f"dashboard-{board.uid.removeprefix('orchestrator-')}.svg"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make pictures", description=__doc__)
    parser.add_argument("--minutes", type=float, default=12)
    trio.run(_take, 60 * parser.parse_args().minutes)
    return 0


async def _take(lasts_s: float) -> None:
    with tempfile.TemporaryDirectory(prefix="orchestrator-pictures-") as place:
        state_dir, series = Path(place) / "state", Path(place) / "prometheus"
        Path(place).chmod(0o755)
        for directory in (state_dir, series):
            directory.mkdir(mode=0o755)
        options = ("--speed", f"{SPEED:g}", "--accounts", "4", "--load", "4")
        async with running(state_dir, *options, environment=WITH_READERS) as daemon:
            await daemon.wait_for_mode("ready")
            async with prometheus(series, await address_of(daemon)) as server:
                start = trio.current_time()
                for share, what in TROUBLE:
                    await trio.sleep_until(start + share * lasts_s)
                    sys.stderr.write(f"{share * lasts_s:.0f} s: {what}\n")
                    await _make(daemon, what)
                await trio.sleep_until(start + lasts_s)
                for board in BOARDS:
                    await _draw(board, server, lasts_s)


async def _make(daemon: Daemon, what: str) -> None:
    if what == "plan is paused":
        await daemon.ask("pause", job="plan")
    elif what == "plan goes on":
        await daemon.ask("resume", job="plan")
    else:
        await daemon.set_faults(**({"error_500": {"rate": 1}} if "errors" in what else {}))


async def _draw(board: Board, server: Server, lasts_s: float) -> None:
    document = json.loads(file_of(board).read_text("utf-8"))
    now = float((await server.query("time()"))[1])  # type: ignore[arg-type]  # a scalar
    found = {}
    for panel in document["panels"]:
        if panel["type"] == "row":
            continue
        found[panel["title"]] = [
            series for target in panel["targets"] for series in await _ask(server, target, now - lasts_s, now)
        ]
    said = f"the demo for {lasts_s / 60:g} minutes, {SPEED:g} times as fast as real; " + "; ".join(
        f"after {share * lasts_s / 60:.2g} {what}" for share, what in TROUBLE
    )
    picture = draw(document, found, lasts_s, said)
    file_for(board).write_text(picture, "utf-8")
    sys.stderr.write(f"{file_for(board).name}: {len(picture) / 1000:.0f} kB\n")


async def _ask(server: Server, target: Document, start: float, end: float) -> list[Series]:
    expr = target["expr"].replace("=~'$instance'", "=~'.+'").replace("$__rate_interval", RATE_INTERVAL)
    spans = {"start": f"{start:.0f}", "end": f"{end:.0f}", "step": str(STEP_S)}
    answer = (await server.get("/api/v1/query_range", query=expr, **spans))["result"]
    named = [(_name(target.get("legendFormat", ""), one["metric"]), one["values"]) for one in answer]
    found = [Series(name, _points(values, start)) for name, values in sorted(named)]
    is_of_now = target.get("instant", False)
    return [
        one for one in found if one.points and (not is_of_now or one.points[-1][0] > end - start - STEP_S)
    ]


def _name(legend: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    return legend.replace("{{instance}}", "")


def _points(values: Sequence[Sequence[float | str]], start: float) -> list[tuple[float, float]]:
    """Without those that are no number."""
    pairs = [(float(second) - start, float(value)) for second, value in values]
    return [(second, value) for second, value in pairs if value == value and abs(value) != float("inf")]  # noqa: PLR0124 - NaN is not itself


if __name__ == "__main__":
    sys.exit(main())
