"""What every page of a site has, and the reading of one that is surely whole. Asyncio side."""

from urllib.parse import urlsplit

from playwright.async_api import Page

from orchestrator.browser.page import Answer
from orchestrator.errors import PageUnexpectedError, SignedOutError
from orchestrator.sites.answers import check_status
from orchestrator.sites.profile import Profile
from orchestrator.sites.reading import Seen, Wanted, read_page


def marks_of(profile: Profile) -> dict[str, str]:
    """What `read_whole` judges a page by."""
    marks = {"signed_in": profile.sign_in.signed_in}
    if profile.sign_in.signed_out is not None:
        marks["signed_out"] = profile.sign_in.signed_out
    if profile.site.complete is not None:
        marks["complete"] = profile.site.complete
    return marks


async def read_whole(page: Page, profile: Profile, answer: Answer, wanted: Wanted) -> Seen:
    """Read a page that somebody who is signed in should see, whole; `wanted` has the marks of `marks_of`."""
    if urlsplit(answer.url).path == profile.sign_in.path:
        raise SignedOutError(f"{profile.site.name} asks for a sign-in")
    check_status(answer)
    seen = await read_page(page, wanted)
    if not seen.marks.get("complete", True):
        raise PageUnexpectedError(f"{seen.url} is not complete: it lacks {profile.site.complete!r}")
    if seen.marks.get("signed_out", not seen.marks["signed_in"]):
        raise SignedOutError(f"{profile.site.name} does not know us any more at {seen.url}")
    if not seen.marks["signed_in"]:
        raise PageUnexpectedError(f"{seen.url} shows neither {profile.sign_in.signed_in!r} nor its opposite")
    return seen
