"""One Playwright driver and one browser: started, watched and ended. All functions run on the asyncio side.

A killed driver sends no event and leaves `is_connected()` true, so both processes are watched by
descriptor as well.
"""

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from playwright.async_api import Browser, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError
from playwright.async_api._context_manager import PlaywrightContextManager

from orchestrator import aio
from orchestrator.browser import processes
from orchestrator.browser.launcher import FoundBrowser, find_browser, is_sandboxed
from orchestrator.browser.processes import WatchedProcess
from orchestrator.errors import BrowserError
from orchestrator.settings import PREFIX

log = structlog.get_logger("browser.engine")

SANDBOX_REMEDY = (
    "Chromium's sandbox needs unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
    "and in systemd RestrictNamespaces=user pid net"
)
DRIVER_REMEDY = "`python -m playwright --version` says why; on Debian it may lack the package libatomic1"
DRIVER_END_S = 5.0
"""How long a killed driver may take to vanish."""
DRIVER_YOUNG_MIB = 2
"""Left alone, Node lets the three parts where it makes objects grow to 16 MiB each before it collects."""
DRIVER_CACHE = "driver-cache"
"""Beside the directory of temporary files, which is emptied at each start."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """How to launch: `directory` takes all temporary files, `proxy_url` all that no context lets through."""

    configured: Path | None
    directory: Path
    proxy_url: str
    timeout_s: float


@dataclass(slots=True)
class Engine:
    """A running driver with a running browser.

    `is_condemned` is set by whoever finds it hung: it is then ended by force, not asked.
    """

    found: FoundBrowser
    playwright: Playwright
    driver: WatchedProcess
    browser: Browser
    browser_process: WatchedProcess | None
    is_condemned: bool = field(default=False)

    @property
    def is_alive(self) -> bool:
        return (
            not self.is_condemned
            and self.driver.is_alive
            and self.browser.is_connected()
            and (self.browser_process is None or self.browser_process.is_alive)
        )


async def launch(plan: LaunchPlan) -> Engine:
    """Start a driver and a browser. Raises BrowserMissingError or BrowserError."""
    found = find_browser(plan.configured)
    with _translated(found):
        async with aio.timeout(plan.timeout_s):
            playwright, driver = await _start_driver(plan)
            try:
                browser, process = await _start_browser(playwright, driver, found, plan)
            except BaseException:
                # Killed rather than asked: a launch that failed or was given up may hang for long.
                await _end_driver(playwright, driver)  # noqa: ASYNC102 - it bounds itself
                raise
    log.info("browser_launched", path=str(found.path), version=browser.version, sandboxed=is_sandboxed())
    return Engine(found, playwright, driver, browser, process)


async def renew_browser(engine: Engine, plan: LaunchPlan) -> Engine | None:
    """A new browser on the old driver. None when that does not work: then nothing of the engine is left."""
    log.warning("browser_relaunch", driver_alive=engine.driver.is_alive, condemned=engine.is_condemned)
    if engine.driver.is_alive and not engine.is_condemned:
        with suppress(BrowserError):
            return await _renew_browser(engine, plan)
    await close(engine, 0)
    return None


async def _renew_browser(engine: Engine, plan: LaunchPlan) -> Engine:
    _end_browser(engine)
    with _translated(engine.found):
        async with aio.timeout(plan.timeout_s):
            browser, process = await _start_browser(engine.playwright, engine.driver, engine.found, plan)
    return Engine(engine.found, engine.playwright, engine.driver, browser, process)


async def close(engine: Engine, patience_s: float) -> None:
    """End the browser, then the driver: asked to for `patience_s` seconds, then killed."""
    if patience_s > 0 and engine.is_alive:
        with suppress(PlaywrightError), killed_after(engine.driver, patience_s):
            await engine.browser.close()
            await engine.playwright.stop()
    _end_browser(engine)
    await _end_driver(engine.playwright, engine.driver)


async def _end_driver(playwright: Playwright, driver: WatchedProcess) -> None:
    """Kill it, and wait until the event loop has seen it end: it complains of what it never saw end."""
    driver.kill()
    driver.close()
    with suppress(TimeoutError):
        async with aio.timeout(DRIVER_END_S):
            await playwright.stop()


def _end_browser(engine: Engine) -> None:
    process = engine.browser_process
    if process is not None:
        # Its children go by themselves when it dies, but for those that are stopped.
        processes.kill_session(process)
        process.close()


async def _start_driver(plan: LaunchPlan) -> tuple[Playwright, WatchedProcess]:
    before = processes.children(os.getpid())

    def kill_new() -> None:
        for pid in _new_drivers(before):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    manager = async_playwright()
    try:
        # Playwright's start must not be cut short: what it began goes on, and nobody reads how it ended.
        with _environment_for_driver(plan.directory), _done_after(plan.timeout_s, kill_new):
            playwright = await aio.make_or_undo(manager.start(), lambda started: started.stop())
        _read_end_of(manager)
        (pid,) = _new_drivers(before)
        return playwright, WatchedProcess(pid)
    except BaseException as error:
        kill_new()
        if isinstance(error, Exception):  # Playwright says so in all kinds of ways, also in a bare Exception
            raise BrowserError(
                f"the browser's driver did not start: {error}", remedy=DRIVER_REMEDY
            ) from error
        raise


def _read_end_of(manager: PlaywrightContextManager) -> None:
    """Read the future in which Playwright notes a driver's death: it never does, and asyncio complains."""
    assert manager._client is not None  # it has started
    death = manager._client._transport.on_error_future
    death.add_done_callback(lambda noted: noted.cancelled() or noted.exception())


def _new_drivers(before: Container[int]) -> list[int]:
    now = processes.children(os.getpid())
    return [pid for pid, arguments in now.items() if pid not in before and "run-driver" in arguments]


async def _start_browser(
    playwright: Playwright, driver: WatchedProcess, found: FoundBrowser, plan: LaunchPlan
) -> tuple[Browser, WatchedProcess | None]:
    making = playwright.chromium.launch(
        executable_path=found.path,
        args=found.arguments,
        chromium_sandbox=is_sandboxed(),
        # What no context accounts for (the browser's own look-ups) ends at the guard too.
        proxy={"server": plan.proxy_url},
        handle_sigint=False,
        handle_sigterm=False,
        handle_sighup=False,
        timeout=plan.timeout_s * 1000,
    )
    with killed_after(driver, plan.timeout_s):
        browser = await aio.make_or_undo(making, Browser.close)
    return browser, _find_browser_process(driver, plan.directory)


def _find_browser_process(driver: WatchedProcess, directory: Path) -> WatchedProcess | None:
    for pid, arguments in processes.children(driver.pid).items():
        if any(argument.startswith(f"--user-data-dir={directory}") for argument in arguments):
            with suppress(OSError):  # a full disk: the note only helps a later sweep
                processes.remember_session(directory, pid)
            with suppress(ProcessLookupError):
                return WatchedProcess(pid)
    return None


@contextmanager
def killed_after(driver: WatchedProcess, seconds: float) -> Iterator[None]:
    """Kill the driver if the block takes longer: for waits that must not be cut short but may hang.

    Whatever waits for a killed driver gets an error at once, so the block ends then.
    """
    with _done_after(seconds, driver.kill):
        yield


@contextmanager
def _done_after(seconds: float, deed: Callable[[], object]) -> Iterator[None]:
    """Do it on a thread of its own if the block takes longer."""
    timer = threading.Timer(seconds, deed)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _environment_for_driver(directory: Path) -> Iterator[None]:
    """Playwright passes this process' environment to its driver, and that to the browser.

    There is no other way to set TMPDIR, nor to keep our settings, which may hold secrets, from them. The
    driver, a Node program, keeps its compiled code from one start to the next: a fifth less work. Options
    that somebody has set for all Node programs hold for it too, as far as ours do not say otherwise.
    """
    before = dict(os.environ)
    tempfile.gettempdir()  # it is looked up once, and by any thread: our own must not be the browser's
    for name in before:
        if name.startswith(PREFIX):
            del os.environ[name]
    options = f"{before.get('NODE_OPTIONS', '')} --max-semi-space-size={DRIVER_YOUNG_MIB}"
    ours = {
        "TMPDIR": str(directory),
        "NODE_COMPILE_CACHE": str(directory.with_name(DRIVER_CACHE)),
        "NODE_OPTIONS": options.strip(),
    }
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name)
        os.environ.update(before)


@contextmanager
def _translated(found: FoundBrowser) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise BrowserError(
            f"{found.path} did not start in time", remedy="look at the machine's load and memory"
        ) from error
    except PlaywrightError as error:
        remedy = SANDBOX_REMEDY if "sandbox" in error.message else ""
        raise BrowserError(f"{found.path} did not start: {first_line(error)}", remedy=remedy) from error
    except OSError as error:
        raise BrowserError(
            f"{found.path} did not start: {error}", remedy="look at the machine's disk and open files"
        ) from error


def first_line(error: PlaywrightError) -> str:
    """What Playwright says, without its call log."""
    return error.message.partition("\n")[0]
