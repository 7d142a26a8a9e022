"""Follows a profile in a page. Knows no site: every address and selector comes from the profile.

All functions run on the asyncio side, inside a visit. They raise the errors of `orchestrator.errors`
under "sites", and Playwright's own, which the visit translates.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.async_api import Page

from orchestrator.browser.page import Answer, open_url
from orchestrator.errors import (
    AlreadyAnsweredError,
    PageUnexpectedError,
    PostMissingError,
    PostRefusedError,
    PostUnclearError,
    SignInRefusedError,
    SiteUnavailableError,
)
from orchestrator.model import PostMetrics, TimelineItem
from orchestrator.sites.answers import check_status, rate_limited
from orchestrator.sites.pages import marks_of, read_whole
from orchestrator.sites.pressing import Pressed, Submission, check_button, press
from orchestrator.sites.profile import Profile
from orchestrator.sites.reading import Seen, Wanted, read_page
from orchestrator.sites.sections import DEFAULT_PORTS, FormSection, ReplySection, TimelineSection, Value

SIGN_IN_WITHIN_S = 15
BUTTON_WITHIN_S = 10
MISSING = (404, 410)


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """What an account's own page says of it."""

    followers: int
    following: int
    posts: int


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """One page of a timeline, newest first."""

    items: list[TimelineItem]
    next: str | None
    """The address of the page with older posts."""
    is_last: bool
    """The site says that there are no older posts. With neither this nor `next` nobody knows."""


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


async def read_metrics(page: Page, profile: Profile, reference: str) -> PostMetrics:
    """Raises PostMissingError when the site has no such post."""
    if not profile.is_reference(reference):
        raise PostMissingError(f"{reference!r} can't be a reference of {profile.site.name}")
    answer = await open_url(page, profile.url(profile.post.path, reference=reference), profile.rules)
    _check_there(profile, answer, reference)
    section = profile.post
    values = {"likes": section.likes, "replies": section.replies, "views": section.views}
    root = section.item.replace("{reference}", reference)
    seen = await read_whole(page, profile, answer, Wanted(marks_of(profile), values, root))
    return PostMetrics(seen.count("likes"), seen.count("replies"), seen.count("views"))


async def read_account(page: Page, profile: Profile, username: str) -> AccountFigures:
    """Raises PageUnexpectedError when the profile has no [profile] section."""
    section = profile.profile
    if section is None:
        raise PageUnexpectedError(f"the profile {profile.site.name} does not say how to read an account")
    answer = await open_url(page, profile.url(section.path, username=username), profile.rules)
    values = {"followers": section.followers, "following": section.following, "posts": section.posts}
    seen = await read_whole(page, profile, answer, Wanted(marks_of(profile), values))
    return AccountFigures(seen.count("followers"), seen.count("following"), seen.count("posts"))


async def read_timeline(page: Page, profile: Profile, url: str) -> TimelinePage:
    """One page of a timeline.

    A page that is not surely a complete one raises PageUnexpectedError, never gives fewer items:
    whoever looks for a post here takes its absence for a fact.
    """
    section = profile.timeline
    wanted = _listing(profile, section, section.item, {"text": section.text, "reference": section.reference})
    seen = await read_whole(page, profile, await open_url(page, url, profile.rules), wanted)
    # Without the profile's word on older posts only an empty page is surely the last one.
    return _listed(profile, section, seen, is_last_when_empty=True)


async def read_own_replies(page: Page, profile: Profile, username: str, url: str) -> TimelinePage:
    """The account's own answers on one page of the post that they answer; as `read_timeline` otherwise.

    Raises PostMissingError when there is no such post any more.
    """
    section = reply_section(profile)
    answer = await open_url(page, url, profile.rules)
    _check_there(profile, answer, url)
    seen = await read_whole(page, profile, answer, _own_replies(profile, section, username))
    return _listed(profile, section, seen)


def reply_section(profile: Profile) -> ReplySection:
    """Raises PageUnexpectedError when the profile does not say how to reply."""
    if profile.reply is None:
        raise PageUnexpectedError(f"the profile {profile.site.name} does not say how to reply")
    return profile.reply


def target_url(profile: Profile, reference: str) -> str:
    """The page where a post is answered. Raises PostMissingError for what can't be a post's name."""
    if not profile.is_reference(reference):
        raise PostMissingError(f"{reference!r} can't be a reference of {profile.site.name}")
    return profile.url(reply_section(profile).path, reference=reference)


def _own_replies(profile: Profile, section: ReplySection, username: str) -> Wanted:
    values = {"text": section.own_text, "reference": section.own_reference}
    return _listing(profile, section, section.own_of(username), values)


def _listing(
    profile: Profile, section: TimelineSection | ReplySection, item: str, values: Mapping[str, Value]
) -> Wanted:
    more = {"more": section.next} if section.next else {}
    return Wanted(
        {**marks_of(profile), "shown": section.shown, **more},
        {"next": Value(selector=section.next, attribute="href")} if section.next else {},
        item=item,
        item_values=values,
    )


def _listed(
    profile: Profile,
    section: TimelineSection | ReplySection,
    seen: Seen,
    *,
    is_last_when_empty: bool = False,
) -> TimelinePage:
    if not seen.marks["shown"]:
        raise PageUnexpectedError(f"{seen.url} lists nothing: it lacks {section.shown!r}")
    items = [_timeline_item(profile, seen, item) for item in seen.items]
    address = seen.values.get("next") or ""
    return TimelinePage(
        items,
        next=address if urlsplit(address).scheme in DEFAULT_PORTS else None,
        is_last=not seen.marks["more"] if section.next else is_last_when_empty and not items,
    )


def _check_there(profile: Profile, answer: Answer, what: str) -> None:
    if answer.status in MISSING:
        raise PostMissingError(f"{profile.site.name} has no post {what} any more")


def timeline_url(profile: Profile, username: str) -> str:
    return profile.url(profile.timeline.path, username=username)


def _timeline_item(profile: Profile, seen: Seen, item: dict[str, str | None]) -> TimelineItem:
    text, reference = item["text"], item["reference"]
    if text is None or reference is None or not profile.is_reference(reference):
        raise PageUnexpectedError(f"{seen.url} lists a post without a text or a reference: {reference!r}")
    return TimelineItem(reference, " ".join(text.split()))


async def look_around(page: Page, profile: Profile) -> None:
    """Open a page that only people who are signed in see: the one where posts are written."""
    await read_whole(
        page,
        profile,
        await open_url(page, profile.url(profile.compose.path), profile.rules),
        Wanted(marks_of(profile), {}),
    )


# ── signing in ──────────────────────────────────────────────────────────────────────────────────


async def sign_in(page: Page, profile: Profile, username: str, password: str) -> None:
    """Raises SignInRefusedError when the site says no."""
    section = profile.sign_in
    answer = await open_url(page, profile.url(section.path), profile.rules)
    check_status(answer)
    if (await read_page(page, Wanted({"signed_in": section.signed_in}, {}))).marks["signed_in"]:
        return  # another visit signed in meanwhile, and the site led us past the form
    await _fill(page, section.username, username)
    await _fill(page, section.password, password)
    wanted = Wanted(
        {"signed_in": section.signed_in, "refused": section.refused},
        {"refusal": Value(selector=section.refused)},
    )
    pressed = await press(page, section.submit, wanted, SIGN_IN_WITHIN_S, Submission())
    _judge_sign_in(profile, username, pressed)


def _judge_sign_in(profile: Profile, username: str, pressed: Pressed) -> None:
    site = profile.site.name
    if pressed.answer is not None and pressed.answer.status == 429:
        raise rate_limited(pressed.answer)
    if pressed.failure or (pressed.answer is not None and pressed.answer.status >= 500):
        raise SiteUnavailableError(f"{site} did not answer the sign-in: {pressed.say()}")
    if pressed.marks.get("signed_in"):
        return
    if pressed.marks.get("refused") and pressed.scripted_failures:
        raise SiteUnavailableError(f"{site} did not answer the sign-in: {pressed.scripted_failures[0]}")
    if pressed.marks.get("refused"):
        raise SignInRefusedError(
            f"{site} refuses the sign-in of {username}: {pressed.refusal()}",
            remedy="check the account's username and password",
        )
    raise PageUnexpectedError(f"{site} shows neither success nor refusal after the sign-in: {pressed.say()}")


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


async def write_post(page: Page, profile: Profile, text: str) -> None:
    """Open the compose page, fill in the text, and wait until it could be submitted; nothing is."""
    section = profile.compose
    _check_length(profile, section, text)
    answer = await open_url(page, profile.url(section.path), profile.rules)
    await read_whole(page, profile, answer, Wanted(marks_of(profile), {}))
    await _fill_form(page, profile, section, text)


async def write_reply(page: Page, profile: Profile, username: str, target: str, text: str) -> None:
    """Open the target's page, fill in the text, and wait until it could be submitted; nothing is.

    Raises PostMissingError when the target is gone, and AlreadyAnsweredError when the page shows an answer
    of the account: nobody is answered twice.
    """
    section = reply_section(profile)
    _check_length(profile, section, text)
    answer = await open_url(page, target_url(profile, target), profile.rules)
    _check_there(profile, answer, target)
    seen = await read_whole(page, profile, answer, _own_replies(profile, section, username))
    if own := _listed(profile, section, seen).items:
        said = f"{username} has answered {target} already: {own[0].reference}"
        raise AlreadyAnsweredError(said, reference=own[0].reference, text=own[0].text)
    await _fill_form(page, profile, section, text)


def _check_length(profile: Profile, section: FormSection, text: str) -> None:
    if len(text) > section.max_chars:
        raise PostRefusedError(
            f"the text has {len(text)} characters, {profile.site.name} takes {section.max_chars}"
        )


async def _fill_form(page: Page, profile: Profile, section: FormSection, text: str) -> None:
    await _fill(page, section.text, text)
    if (await page.input_value(section.text)).split() != text.split():
        raise PageUnexpectedError(f"{profile.site.name} does not take the text as it is into its form")
    await check_button(page, section.submit, BUTTON_WITHIN_S)


async def submit_post(page: Page, profile: Profile, submission: Submission) -> str:
    """Press submit on the page that `write_post` filled; as `_submit`."""
    return await _submit(page, profile, profile.compose, submission)


async def submit_reply(page: Page, profile: Profile, submission: Submission) -> str:
    """Press submit on the page that `write_reply` filled; as `_submit`."""
    return await _submit(page, profile, reply_section(profile), submission)


async def _submit(page: Page, profile: Profile, section: FormSection, submission: Submission) -> str:
    """Press submit; returns the reference of what was published.

    Once `submission.is_pressed` only three errors are certain: PostRefusedError and SiteRateLimitedError
    (nothing was published), and PostUnclearError. The caller turns all others into the last.
    """
    if not await page.locator(section.text).count() or not (await page.input_value(section.text)).strip():
        raise PageUnexpectedError("there is no filled compose form to submit")
    values = {"refusal": Value(selector=section.refused)}
    if section.reference.value is not None:
        values["reference"] = section.reference.value
    wanted = Wanted({"accepted": section.accepted, "refused": section.refused}, values)
    pressed = await press(page, section.submit, wanted, section.answer_within_s, submission)
    return _judge_submission(profile, section, pressed)


def _judge_submission(profile: Profile, section: FormSection, pressed: Pressed) -> str:
    is_accepted, is_refused = bool(pressed.marks.get("accepted")), bool(pressed.marks.get("refused"))
    if pressed.haste and (is_refused or not (is_accepted and pressed.is_haste_explained)):
        raise PostUnclearError(f"{profile.site.name} gave no clear answer: {pressed.haste}")
    if pressed.answer is not None and pressed.answer.status == 429 and pressed.is_to_submit:
        raise rate_limited(pressed.answer)
    if pressed.failure or (pressed.answer is not None and pressed.answer.status >= 500):
        silent = SiteUnavailableError(f"{profile.site.name} did not answer the submit: {pressed.say()}")
        raise PostUnclearError(f"{profile.site.name} gave no clear answer: {pressed.say()}") from silent
    if is_refused and not is_accepted and pressed.scripted_failures:
        # A script says that it did not work, as one does whose request got no answer.
        is_only_one = len(pressed.scripted) == len(pressed.scripted_failures) == 1
        if is_only_one and pressed.scripted[0].status == 429:
            raise rate_limited(pressed.scripted[0])
        silent = SiteUnavailableError(f"{profile.site.name} did not answer: {pressed.scripted_failures[0]}")
        raise PostUnclearError(f"{profile.site.name} gave no clear answer: {silent}") from silent
    if is_refused and not is_accepted:
        raise PostRefusedError(f"{profile.site.name} refuses the post: {pressed.refusal()}")
    reference = _new_reference(profile, section, pressed) if is_accepted and not is_refused else None
    if reference is None:
        raise PostUnclearError(f"{profile.site.name} shows no new post after the submit: {pressed.say()}")
    return reference


def _new_reference(profile: Profile, section: FormSection, pressed: Pressed) -> str | None:
    in_url = section.reference.url
    if in_url is not None:
        match = re.search(in_url, pressed.url)
        found = match[1] if match is not None else ""
    else:
        found = (pressed.values["reference"] or "").strip()
    return found if profile.is_reference(found) else None


async def _fill(page: Page, selector: str, text: str) -> None:
    field = page.locator(selector)
    if await field.count() != 1:
        raise PageUnexpectedError(f"{page.url} has {await field.count()} fields {selector!r} instead of one")
    await field.fill(text)
