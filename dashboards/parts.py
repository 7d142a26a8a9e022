"""What a dashboard is made of here, and how Grafana wants it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    TextBoxVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import (
    BigValueTextMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)

TAG = "orchestrator"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
GRID_WIDTH = 24

Kind = Literal["lines", "areas", "number", "word", "states", "bars"]


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and what its series are called: `{{label}}` takes a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `steps` are the values from which on it is orange, then red."""

    title: str
    says: str
    """What it shows, and what is to be thought of it."""
    unit: str
    """Of Grafana: s, bytes, short, percentunit …"""
    queries: Sequence[Query]
    runbook: str
    """A page of docs/, with the heading that says what to do."""
    kind: Kind = "lines"
    steps: Sequence[float] = ()
    is_low_bad: bool = False
    """Below the steps is bad, instead of above them."""
    width: int = 8
    height: int = 7
    at_most: float | None = None
    names: dict[float, tuple[str, str]] = field(default_factory=dict)
    """Words and colours for values."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels, each row with its title."""

    uid: str
    title: str
    says: str
    rows: Sequence[tuple[str, Sequence[Panel]]]


def build(board: Board, others: Sequence[Board]) -> Dashboard:
    """The dashboard as Grafana's builder."""
    made = (
        Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags([TAG])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            QueryVariable("instance")
            .label("Daemon")
            .datasource(SOURCE)
            .query({"query": "label_values(orchestrator_mode, instance)", "refId": "instances"})
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .multi(True)
        )
        .with_variable(TextBoxVariable("docs").label("Docs").default_value("https://docs.invalid"))
    )
    for other in others:
        if other is not board:
            made.link(_link(other.title, f"/d/{other.uid}", keep=True))
    number = 0
    for title, panels in board.rows:
        made.with_row(Row(title))
        for panel in panels:
            number += 1
            made.with_panel(_panel(panel, number))
    return made


def _link(title: str, url: str, *, keep: bool) -> DashboardLink:
    link = DashboardLink(title).type(DashboardLinkType.LINK).url(url)
    return link.keep_time(keep).include_vars(keep).target_blank(not keep)


_BUILDERS: dict[Kind, Any] = {
    "lines": timeseries.Panel,
    "areas": timeseries.Panel,
    "number": stat.Panel,
    "word": stat.Panel,
    "states": statetimeline.Panel,
    "bars": bargauge.Panel,
}


def _panel(panel: Panel, number: int) -> Any:
    made = (
        _BUILDERS[panel.kind]()
        .id(number)
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
        .min(0)
        .thresholds(_thresholds(panel))
        .links([_link("What to do", f"${{docs}}/{panel.runbook}", keep=False)])
    )
    if panel.at_most is not None:
        made.max(panel.at_most)
    if panel.names:
        made.mappings([_mapping(panel.names)])
    for place, query in enumerate(panel.queries):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + place)).expr(query.expr)
        if query.legend:
            target.legend_format(query.legend)
        made.with_target(target.instant() if panel.kind in ("number", "word", "bars") else target.range())
    if panel.kind == "word":
        made.text_mode(BigValueTextMode.NAME)
    if panel.kind in ("lines", "areas"):
        _draw(made, is_stacked=panel.kind == "areas", has_steps=bool(panel.steps))
    return made


def _draw(made: timeseries.Panel, *, is_stacked: bool, has_steps: bool) -> None:
    made.fill_opacity(25 if is_stacked else 8).line_width(1)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    made.legend(legend.placement(LegendPlacement.BOTTOM).show_legend(True))
    made.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if is_stacked:
        made.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if has_steps:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))


def _thresholds(panel: Panel) -> ThresholdsConfig:
    colours = [GREEN, ORANGE, RED] if len(panel.steps) > 1 else [GREEN, RED]
    if panel.is_low_bad:
        colours.reverse()
    starts: list[float | None] = [None, *panel.steps]
    steps = [Threshold(value=start, color=colour) for start, colour in zip(starts, colours, strict=False)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(names: dict[float, tuple[str, str]]) -> ValueMap:
    return ValueMap(
        {
            f"{value:g}": ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(names.items())
        }
    )
