"""A simulation as one HTML page: no script, nothing that is loaded from elsewhere, light and dark."""

from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from orchestrator.simulate import chart, sheets
from orchestrator.simulate.figures import Figures

TEMPLATE = Path(__file__).with_name("page.html")


def render_page(figures: Figures) -> str:
    """The whole page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    title = sheets.title(figures)
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        title=title,
        summary=sheets.summary(figures),
        explained=sheets.EXPLAINED,
        figures=figures,
        # Made by us, of figures and of names that the chart escapes.
        waits=Markup(chart.waits_chart([(title, figures)])),  # noqa: S704
        depth=Markup(chart.depth_chart(figures)),  # noqa: S704
        use=Markup(chart.use_chart(figures)),  # noqa: S704
        lanes=sheets.lanes(figures),
        jobs=sheets.jobs(figures).filled(),
    )
