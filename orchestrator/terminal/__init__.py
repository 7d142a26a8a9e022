"""What the daemon looks like in a terminal: the answers of `orchestrator ctl`, and the live view."""

from typing import TYPE_CHECKING, Any

from orchestrator.terminal.status import (
    render_breakers,
    render_jobs,
    render_queue,
    render_settings,
    render_status,
    render_why,
)

if TYPE_CHECKING:
    from orchestrator.terminal.live import show_live

__all__ = [
    "render_breakers",
    "render_jobs",
    "render_queue",
    "render_settings",
    "render_status",
    "render_why",
    "show_live",
]


def __getattr__(name: str) -> Any:
    # The live view needs trio; `ctl`, which does not, is to be quick.
    if name == "show_live":
        from orchestrator.terminal.live import show_live

        return show_live
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
