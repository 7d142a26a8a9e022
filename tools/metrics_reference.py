"""Writes docs/metrics.md from the metrics themselves: `make docs`."""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from dashboards.__main__ import BOARDS, file_of
from orchestrator.metrics import Metrics

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "metrics.md"
ALERTS = ROOT / "deploy" / "prometheus" / "rules" / "orchestrator.yml"

HEAD = """\
# Metrics

What `/metrics` shows, in Prometheus' text format. This page is made from the code (`make docs`); a test
keeps it up to date. Labels come from closed sets, those that are listed here or names of the house (jobs,
sites, checks, breakers, destinations), never an account, an address or an id; all series exist from the
start. Names that end in `_seconds` or `_bytes` are that; `_total` counts up since the start of the process.

*On* names the [dashboards](dashboards.md) that show it; *alerts*: a rule in `deploy/prometheus` asks for
it.

| metric | kind | labels | meaning | on |
|---|---|---|---|---|
"""


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    places = {board.title.partition(": ")[2]: file_of(board).read_text("utf-8") for board in BOARDS}
    places["alerts"] = ALERTS.read_text("utf-8")
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            used = re.compile(rf"\b{name}(_bucket|_sum|_count)?\b")
            shown = ", ".join(place for place, text in places.items() if used.search(text))
            labels = "; ".join(_labels(metric))
            yield f"| `{name}` | {family.type} | {labels} | {family.documentation} | {shown} |\n"


def _labels(metric: MetricWrapperBase) -> Iterator[str]:
    """Each label, with its values where these are few and known from the start."""
    samples = [sample for family in metric.collect() for sample in family.samples]
    for label in metric._labelnames:
        values = list(dict.fromkeys(sample.labels[label] for sample in samples))
        yield f"`{label}`: {', '.join(values)}" if values else f"`{label}`"


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
    print(f"{TARGET.name} is up to date")
