"""Presses a button that has an effect, and finds out what followed. Asyncio side."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, Response
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from orchestrator import aio
from orchestrator.browser.once import HARMLESS
from orchestrator.browser.page import GUARD_ERRORS, Answer, Scope, broken_off, end_soon
from orchestrator.errors import PageUnexpectedError
from orchestrator.sites.reading import Seen, Wanted, read_page

LOOK_TIMEOUT_S = 5
READY_WITHIN_S = 2
CLICK_WITHIN_S = 2
"""A press takes no longer than these two together: the daemon has made sure just before that it may press."""
ERRORS = 400
"""The least status that says that something went wrong."""
QUIET_S = 0.5
"""A page that shows a mark and has sent nothing may be about to."""
MARKS_WITHIN_S = 3
"""After a document has loaded: how long its scripts may take to show what became of the press."""


@dataclass(slots=True)
class Submission:
    """Whether the button was pressed: from then on no error means that nothing was published."""

    is_pressed: bool = False


@dataclass(frozen=True, slots=True)
class Pressed:
    """What followed a press: the last answer to a navigation, a failure, and what the page shows now."""

    answer: Answer | None
    is_to_submit: bool
    """Whether `answer` is the only one, and to the submit itself: a later page says nothing of it."""
    failure: str
    scripted: list[Answer]
    """The answers to what scripts of the page sent with an effect."""
    scripted_failures: list[str]
    """Why some of those have no answer, or none that says what came of them."""
    haste: str
    """Why the page can't know yet what it shows: a request of the press had no answer by then. Else empty."""
    is_haste_explained: bool
    """Other answers had come by then, and those that were awaited came and say nothing against it."""
    url: str
    marks: dict[str, bool]
    values: dict[str, str | None]

    def say(self) -> str:
        if self.failure:
            return self.failure
        return f"{f'status {self.answer.status} ' if self.answer is not None else ''}at {self.url}"

    def refusal(self) -> str:
        """The site's own words, in one line."""
        return " ".join((self.values.get("refusal") or "").split())[:200].rstrip(".")


async def press(page: Page, button: str, wanted: Wanted, within_s: float, submission: Submission) -> Pressed:
    """Press `button`, then wait until a wanted mark shows, the site answers with an error, or time is up.

    What the press has sent is waited for too, within that time: a page may show a mark before the answer.
    Raises PageUnexpectedError, with nothing pressed, when a mark shows before, or when the button is not
    there or can't be pressed. Whoever wants to know early that it can be asks `check_button`.
    """
    try:
        async with aio.timeout(READY_WITHIN_S):
            before = await read_page(page, wanted)
            if any(before.marks.values()):
                raise PageUnexpectedError(f"{before.url} says what became of {button!r} before it is pressed")
            await check_button(page, button, READY_WITHIN_S)
    except TimeoutError as error:
        raise PageUnexpectedError(f"the page does not react within {READY_WITHIN_S} s") from error
    marks = ", ".join(wanted.marks.values())
    answers = _Answers(page)
    submission.is_pressed = True
    with suppress(TimeoutError, PlaywrightTimeoutError):
        async with aio.timeout(within_s) as scope:
            with answers.watched(scope, within_s):
                await page.locator(button).first.click(no_wait_after=True, timeout=CLICK_WITHIN_S * 1000)
                await page.wait_for_selector(marks, state="attached", timeout=within_s * 1000)
                await answers.note_marks()
                await page.wait_for_load_state("domcontentloaded", timeout=within_s * 1000)
                await answers.are_complete.wait()
    return await _look(page, wanted, answers)


async def check_button(page: Page, button: str, within_s: float) -> None:
    """Wait until `button` can be pressed, without pressing it. Raises PageUnexpectedError."""
    if not await page.locator(button).count():
        raise PageUnexpectedError(f"{page.url} is not in the state that {button!r} can be pressed in")
    try:
        await page.locator(button).first.click(trial=True, timeout=within_s * 1000)
    except PlaywrightTimeoutError as error:
        raise PageUnexpectedError(f"{page.url}: {button!r} can't be pressed within {within_s:g} s") from error


class _Answers:
    """The answers to the page's navigations, and the first failure of one."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.responses: list[Response] = []
        self.failures: list[str] = []
        self.scripted: list[Response] = []
        self.scripted_failures: list[str] = []
        """Of requests with an effect that scripts sent."""
        self.are_complete = aio.Event()
        """Set while nothing that the press may have sent waits for its answer."""
        self.are_complete.set()
        self._under_way: set[Request] = set()
        self._ended: dict[Request, int] = {}
        """By request of the press, the status of its answer; 0 without one."""
        self._early: set[Request] = set()
        """Those that had no answer when the marks were seen."""
        self._answered_before = False

    async def note_marks(self) -> None:
        """The page shows what became of the press, by its own account."""
        before = dict(self._ended)
        if not before and not self._under_way:
            await aio.sleep(QUIET_S)  # it may show that first and send afterwards
        self._early = self._under_way | (self._ended.keys() - before.keys())
        self._answered_before = any(before.values())

    def haste(self) -> str:
        """Why the page can't know yet what it shows; empty when it can."""
        if self._under_way:
            return "a request of the press is still under way"
        return "the page did not wait for the answer" if self._early else ""

    def is_haste_explained(self) -> bool:
        is_all_well = all(0 < self._ended.get(request, 0) < ERRORS for request in self._early)
        return not self._under_way and self._answered_before and is_all_well

    @contextmanager
    def watched(self, scope: Scope, within_s: float) -> Iterator[None]:
        """End `scope` early when waiting makes no sense: after a failure or an error page."""
        loop_ahead_s = (scope.when() or 0) - within_s - time.monotonic()

        def on_loaded(_page: Page) -> None:
            if self.responses and self.responses[-1].status >= ERRORS:
                end_soon(scope)
            elif self.responses:
                moment = time.monotonic() + loop_ahead_s + MARKS_WITHIN_S
                with suppress(RuntimeError):  # it has struck already
                    scope.reschedule(min(moment, scope.when() or moment))

        listeners: dict[Any, Callable[[Any], None]] = {
            "request": self._note_request,
            "response": self._note,
            "requestfailed": self._note_failure,
            "domcontentloaded": on_loaded,
        }
        with broken_off(self._page, self.failures, partial(end_soon, scope)):
            for event, listener in listeners.items():
                self._page.on(event, listener)
            try:
                yield
            finally:
                for event, listener in listeners.items():
                    self._page.remove_listener(event, listener)

    def _note_request(self, request: Request) -> None:
        """What a page sends that the press has led to is not the press's own any more."""
        is_of_press = not any(map(_has_effect, self.responses)) and request.redirected_from is None
        if is_of_press and (request.is_navigation_request() or request.method not in HARMLESS):
            self._under_way.add(request)
            self.are_complete.clear()

    def _note_end(self, request: Request, status: int) -> None:
        if request in self._under_way:
            self._under_way.remove(request)
            self._ended[request] = status
        if not self._under_way:
            self.are_complete.set()

    def _note(self, response: Response) -> None:
        self._note_end(response.request, response.status)
        if response.request.is_navigation_request() and response.frame == self._page.main_frame:
            self.responses.append(response)
        elif not response.request.is_navigation_request() and _has_effect(response):
            self.scripted.append(response)
            if response.status == 429 or response.status >= 500:
                self.scripted_failures.append(f"status {response.status} to a script")

    def _note_failure(self, request: Request) -> None:
        self._note_end(request, 0)
        reason = request.failure or "the transfer failed"
        is_foreign = any(sign in reason for sign in GUARD_ERRORS)
        if request.method not in HARMLESS and not request.is_navigation_request() and not is_foreign:
            self.scripted_failures.append(f"{reason} for a script")


def _has_effect(response: Response) -> bool:
    return response.request.method not in HARMLESS and response.request.redirected_from is None


async def _look(page: Page, wanted: Wanted, answers: _Answers) -> Pressed:
    failure = answers.failures[0] if answers.failures else ""
    seen = Seen(page.url, {}, {}, [])
    try:
        async with aio.timeout(LOOK_TIMEOUT_S):
            seen = await read_page(page, wanted)
    except (PlaywrightError, TimeoutError) as error:
        failure = failure or str(error).partition("\n")[0] or "the page does not react"
    last = answers.responses[-1] if answers.responses else None
    return Pressed(
        answer=Answer(last.status, last.headers, last.url) if last is not None else None,
        is_to_submit=len(answers.responses) == 1 and _has_effect(answers.responses[0]),
        failure=failure,
        scripted=[Answer(x.status, x.headers, x.url) for x in answers.scripted],
        scripted_failures=answers.scripted_failures,
        haste=answers.haste(),
        is_haste_explained=answers.is_haste_explained(),
        url=seen.url,
        marks=seen.marks,
        values=seen.values,
    )
