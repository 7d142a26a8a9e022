"""What the daemon looks like in a terminal: the answers of `orchestrator ctl`, and the live view."""

from orchestrator.terminal.live import show_live
from orchestrator.terminal.status import (
    render_jobs,
    render_queue,
    render_settings,
    render_status,
    render_why,
)

__all__ = ["render_jobs", "render_queue", "render_settings", "render_status", "render_why", "show_live"]
