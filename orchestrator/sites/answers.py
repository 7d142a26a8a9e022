"""What an HTTP status means for whoever opened the page."""

from email.utils import parsedate_to_datetime

from orchestrator.browser.page import Answer
from orchestrator.errors import (
    PageUnexpectedError,
    SignedOutError,
    SiteRateLimitedError,
    SiteUnavailableError,
)

MAX_RETRY_IN_S = 86_400.0
"""A site that asks for more is asked again after a day."""


def check_status(answer: Answer) -> None:
    """Raise the error that the status stands for; 1xx to 3xx pass."""
    status = answer.status
    if status == 429:
        raise rate_limited(answer)
    if status == 401:
        raise SignedOutError(f"{answer.url} answers 401")
    if status >= 500:
        raise SiteUnavailableError(f"{answer.url} answers {status}")
    if status >= 400:
        raise PageUnexpectedError(f"{answer.url} answers {status}")


def rate_limited(answer: Answer) -> SiteRateLimitedError:
    """The error for a 429, with the site's own figure when it names one."""
    retry_in_s = _retry_in_s(answer.headers)
    wish = f", in {retry_in_s:g} s again" if retry_in_s is not None else ""
    return SiteRateLimitedError(f"{answer.url} asks for patience{wish}", retry_in_s=retry_in_s)


def _retry_in_s(headers: dict[str, str]) -> float | None:
    """Retry-After in seconds; a date there is compared with the site's own clock in Date."""
    wish = headers.get("retry-after", "").strip()
    if wish.isdecimal():
        return min(float(wish), MAX_RETRY_IN_S)
    try:
        wait = parsedate_to_datetime(wish) - parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return min(max(0.0, wait.total_seconds()), MAX_RETRY_IN_S)
