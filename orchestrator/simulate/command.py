"""`orchestrator simulate`, from the settings to the figures."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal

import trio

from orchestrator import aio, jobs
from orchestrator.clock import Clock
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseError, OrchestratorError, StateDirectoryError
from orchestrator.log import configure
from orchestrator.settings import LogSettings, Settings
from orchestrator.simulate.declared import Past, declared_load, read_past
from orchestrator.simulate.engine import Options, Policy, simulate
from orchestrator.simulate.figures import Figures, figures_of
from orchestrator.simulate.load import Load, read_load
from orchestrator.simulate.page import render_page


@dataclass(frozen=True, slots=True)
class Record:
    """How the record of past runs is come by: what `wiring` has for it."""

    open_storage: Callable[[Settings, Random], AbstractAsyncContextManager[Database]]
    clock_of: Callable[[Settings], tuple[Clock, datetime | None]]
    """The clock that the runs were recorded by, and since when. Raises StateDirectoryError."""


PATIENCE_S = 1.0
"""How long an unreachable database is tried: the simulation can do without."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    days: float
    contexts: int | None
    load: str | None
    policy: Policy
    seed: int
    html: Path | None

    def overrides(self) -> dict[str, Any]:
        """The settings that the command line changes."""
        # Without an allocator nobody has a guarantee, so none has to fit.
        guarantees = ("critical_guarantee", "high_guarantee", "background_guarantee")
        changes = dict.fromkeys(guarantees, 0) if self.policy is Policy.FIFO else {}
        if self.contexts is not None:
            changes["capacity"] = self.contexts
        return {"allocator": changes}


def run_simulation(wish: Wish, config: Path | None, record: Record) -> Figures:
    """Simulate, and write the page if one is wished for.

    Raises SettingsError for wrong settings or a wrong load, OrchestratorError when the page can't be written.
    """
    settings = Settings.load(config, wish.overrides())
    configure(LogSettings(level="error"))
    if wish.html is not None:
        _write(wish.html, "", "a")  # to know before the work that it can be done
    load = read_load(wish.load) if wish.load is not None else _own_load(settings, record)
    options = Options(wish.days, settings.allocator, wish.policy, wish.seed)
    figures = figures_of(load, options, simulate(load, options))
    if wish.html is not None:
        _write(wish.html, render_page(figures), "w")
    return figures


def _write(path: Path, text: str, mode: Literal["a", "w"]) -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OrchestratorError(f"{path} can't be written: {error.strerror}") from error


def _own_load(settings: Settings, record: Record) -> Load:
    """The jobs that the settings leave on, with the lengths of the database's record if it can be read."""
    listed = jobs.declared(settings.jobs, without=jobs.idle(settings))
    if settings.database.dsn is None and not os.access(settings.state_dir / "postgres" / "data", os.F_OK):
        return declared_load(listed, {}, f"there is no database in {settings.state_dir}")
    try:
        return declared_load(listed, trio.run(_read_past, settings, record))
    except (DatabaseError, StateDirectoryError) as error:
        return declared_load(listed, {}, error.line())


async def _read_past(settings: Settings, record: Record) -> Mapping[str, Past]:
    gate = settings.gate.model_copy(update={"database_wait_s": PATIENCE_S})
    hasty = settings.model_copy(update={"gate": gate})
    clock, since = record.clock_of(settings)
    async with aio.open_bridge(), record.open_storage(hasty, Random()) as database:
        return await read_past(database, clock, since)
