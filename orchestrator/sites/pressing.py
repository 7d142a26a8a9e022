"""Presses a button that has an effect, and finds out what followed. Asyncio side."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

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
                await page.wait_for_load_state("domcontentloaded", timeout=within_s * 1000)
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

    @contextmanager
    def watched(self, scope: Scope, within_s: float) -> Iterator[None]:
        """End `scope` early when waiting makes no sense: after a failure or an error page."""
        loop_ahead_s = (scope.when() or 0) - within_s - time.monotonic()

        def on_loaded(_page: Page) -> None:
            if self.responses and self.responses[-1].status >= 400:
                end_soon(scope)
            elif self.responses:
                moment = time.monotonic() + loop_ahead_s + MARKS_WITHIN_S
                with suppress(RuntimeError):  # it has struck already
                    scope.reschedule(min(moment, scope.when() or moment))

        with broken_off(self._page, self.failures, partial(end_soon, scope)):
            self._page.on("response", self._note)
            self._page.on("requestfailed", self._note_failure)
            self._page.on("domcontentloaded", on_loaded)
            try:
                yield
            finally:
                self._page.remove_listener("response", self._note)
                self._page.remove_listener("requestfailed", self._note_failure)
                self._page.remove_listener("domcontentloaded", on_loaded)

    def _note(self, response: Response) -> None:
        if response.request.is_navigation_request() and response.frame == self._page.main_frame:
            self.responses.append(response)
        elif not response.request.is_navigation_request() and _has_effect(response):
            self.scripted.append(response)
            if response.status == 429 or response.status >= 500:
                self.scripted_failures.append(f"status {response.status} to a script")

    def _note_failure(self, request: Request) -> None:
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
        url=seen.url,
        marks=seen.marks,
        values=seen.values,
    )
