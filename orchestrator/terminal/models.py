"""Renders `ctl models`."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from orchestrator.terminal.parts import stacked
from orchestrator.terminal.words import NONE, Row, ago, count, moment, number, rows, text

_STYLES = {"serving": "green", "candidate": "cyan", "rolled_back": "red"}


def render_models(result: Row) -> RenderableType:
    """Each version in words: what it is used for and why, and what it was learned from."""
    missing = result.get("missing")
    waits = [
        Text(f"{site}: the next model waits for more to learn from, there are {reason}.", "dim")
        for site, reason in (missing.items() if isinstance(missing, dict) else ())
    ]
    shown = [_version(one, result) for one in rows(result, "models")]
    return stacked([*shown, *waits] or [Text("No model yet; see docs/learning.md.", "dim")])


def _version(one: Row, result: Row) -> RenderableType:
    state = text(one, "state")
    head = Text.assemble(
        (f"model {count(number(one, 'version'))} of {text(one, 'site', NONE)} ", "bold"),
        (state.replace("_", " "), _STYLES.get(state, "dim")),
        (f" since {ago(moment(one, 'since'), moment(result, 'now'))}: {text(one, 'why')}", ""),
    )
    first, last = moment(one, "from"), moment(one, "to")
    extent = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" if first and last else NONE
    error, mean = number(one, "error") or 0.0, number(one, "mean_error") or 0.0
    learned = (
        f"{text(one, 'kind')} of {count(number(one, 'posts'))} posts, {extent}; "
        f"error on the latest fifth {error:.4f}, the mean has {mean:.4f}"
    )
    return Group(head, Padding(Text(learned, "dim"), (0, 0, 0, 2)))
