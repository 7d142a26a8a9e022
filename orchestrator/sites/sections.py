"""The tables of a site profile, each value checked; `docs/sites.md` explains them."""

import re
import string
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from orchestrator.browser.guard import HostRule
from orchestrator.model import ListKind
from orchestrator.sites.selectors import check_selector

DEFAULT_PORTS = {"http": 80, "https": 443}


def _check_host(text: str) -> str:
    HostRule.parse(text)
    return text


def _check_pattern(text: str) -> str:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    if pattern.fullmatch(""):
        raise ValueError(f"{text!r} also fits an empty text")
    return text


def _check_group(text: str) -> str:
    pattern = re.compile(_check_pattern(text))
    if pattern.groups != 1:
        raise ValueError(f"{text!r} needs exactly one group in round brackets")
    if pattern.search(""):
        raise ValueError(f"{text!r} also fits an empty text, and so finds one everywhere")
    return text


def check_base_url(text: str) -> str:
    """Return the address without a slash at its end. Raises ValueError when it is none."""
    parts = urlsplit(text)
    has_more = parts.query or parts.fragment or "@" in parts.netloc or re.search(r"\s", text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or has_more:
        raise ValueError(f"{text!r} is not an address such as https://example.org")
    HostRule.parse(parts.netloc)
    if parts.path.strip("/"):
        raise ValueError(f"{text!r} has a path: give {parts.path} at the beginning of each path instead")
    return text.rstrip("/")


def _path_with(*names: str) -> AfterValidator:
    """A path from the root, with no other placeholders than `names`, all of which it needs."""

    def check(text: str) -> str:
        if not text.startswith("/"):
            raise ValueError(f"{text!r} must begin with /")
        places = [place for place in string.Formatter().parse(text) if place[1] is not None]
        if {name for _, name, _, _ in places} != set(names):
            wanted = ", ".join(f"{{{name}}}" for name in names) or "no placeholder"
            raise ValueError(f"{text!r} must have {wanted}")
        if any(form or conversion for _, _, form, conversion in places):
            raise ValueError(f"{text!r} must have nothing but a name in curly brackets")
        return text

    return AfterValidator(check)


Host = Annotated[str, AfterValidator(_check_host)]
BaseUrl = Annotated[str, AfterValidator(check_base_url)]
Selector = Annotated[str, AfterValidator(check_selector)]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
GroupPattern = Annotated[str, AfterValidator(_check_group)]
PlainPath = Annotated[str, _path_with()]
UserPath = Annotated[str, _path_with("username")]
PostPath = Annotated[str, _path_with("reference")]
QueryPath = Annotated[str, _path_with("query")]


class Section(BaseModel):
    """A table of a profile: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Section)


def _check_distinct(section: S, *keys: str) -> S:
    """Marks that tell one ending from another can't be the same. Raises ValueError."""
    given = [value for key in keys if (value := getattr(section, key)) is not None]
    if len(set(given)) < len(given):
        raise ValueError(f"{', '.join(keys)}: each needs a selector of its own")
    return section


class Value(Section):
    """Where a value stands: the text of an element or one of its attributes, cut out by `pattern`.

    In TOML a plain string is a selector. Without a selector it is an attribute of the item itself.
    """

    selector: Selector | None = None
    attribute: Attribute | None = None
    pattern: GroupPattern | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_string(cls, value: object) -> object:
        return {"selector": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "Value":
        if self.selector is None and self.attribute is None:
            raise ValueError("name a selector, an attribute or both")
        return self

    def cut(self, text: str | None) -> str | None:
        """What `pattern` finds in the text; the whole text when there is no pattern."""
        if text is None or self.pattern is None:
            return text
        match = re.search(self.pattern, text)
        return match[1] if match is not None else None


class ReferenceValue(Section):
    """Where a new post's reference stands: in an element, or in the address that the site leads to."""

    selector: Selector | None = None
    attribute: Attribute | None = None
    pattern: GroupPattern | None = None
    url: GroupPattern | None = None

    @model_validator(mode="after")
    def _check(self) -> "ReferenceValue":
        if (self.url is None) == (self.selector is None):
            raise ValueError("name exactly one of selector and url")
        if self.url is not None and (self.attribute is not None or self.pattern is not None):
            raise ValueError("attribute and pattern belong to a selector, not to url")
        return self

    @property
    def value(self) -> Value | None:
        if self.selector is None:
            return None
        return Value(selector=self.selector, attribute=self.attribute, pattern=self.pattern)


class SiteSection(Section):
    """Where the site is and what all its pages have."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    base_url: BaseUrl
    hosts: list[Host] = []
    complete: Selector | None = Field(None, description="stands at the end of every page")
    reference: Pattern = Field(r"[A-Za-z0-9_-]{1,64}", description="what a post's reference looks like")


class SignInSection(Section):
    """How to sign in, and how to tell who is."""

    path: PlainPath
    username: Selector
    password: Selector
    submit: Selector
    signed_in: Selector = Field(description="stands on every page of somebody who is signed in")
    signed_out: Selector | None = Field(None, description="stands on every other page")
    refused: Selector = Field(description="the site's word on a wrong name or password")

    @model_validator(mode="after")
    def _check_marks(self) -> "SignInSection":
        return _check_distinct(self, "signed_in", "signed_out", "refused")


class FormSection(Section):
    """A form that publishes, and how to tell whether it worked."""

    text: Selector
    submit: Selector
    accepted: Selector = Field(description="stands where the site says that the post is out")
    reference: ReferenceValue
    refused: Selector = Field(description="the site's word on a post that it does not take")
    max_chars: int = Field(280, ge=1)
    answer_within_s: float = Field(15, gt=0, le=120)

    @model_validator(mode="after")
    def _check_marks(self) -> "FormSection":
        return _check_distinct(self, "accepted", "refused")


class ComposeSection(FormSection):
    """How to publish."""

    path: PlainPath


class ReplySection(FormSection):
    """How to answer a post on its page, and how that page lists the account's own answers."""

    path: PostPath
    shown: Selector = Field(description="stands on every such page, also on one without answers")
    own: str = Field(description="each answer of the account; may name {username}")
    own_text: Value
    own_reference: Value
    next: Selector | None = Field(None, description="the link to more answers")
    own_page: bool = Field(False, description="an answer has a page of its own, which [post] describes too")

    @model_validator(mode="after")
    def _check_own(self) -> "ReplySection":
        check_selector(self.own.replace("{username}", "x"))
        return self

    def own_of(self, username: str) -> str:
        """The selector of the answers of that account."""
        return self.own.replace("{username}", re.sub(r"([\\'\"\]])", r"\\\1", username))


class PostSection(Section):
    """Where a post's page keeps its counts."""

    path: PostPath
    item: str = Field(description="the post on its page; may name {reference}")
    likes: Value
    replies: Value
    views: Value

    @model_validator(mode="after")
    def _check_item(self) -> "PostSection":
        check_selector(self.item.replace("{reference}", "x"))
        return self


class TimelineSection(Section):
    """How an account's own posts are listed."""

    path: UserPath
    shown: Selector = Field(description="stands on every such page, also on one without posts")
    item: Selector
    text: Value
    reference: Value
    next: Selector | None = Field(None, description="the link to older posts")


class ListsSection(Section):
    """How everybody's posts are listed; all addresses lead to lists that look alike."""

    home: PlainPath | None = None
    search: QueryPath | None = None
    person: UserPath | None = None
    shown: Selector = Field(description="stands on every such page, also on one without posts")
    item: Selector
    reference: Value
    author: Value
    text: Value
    posted_at: Value = Field(description="ISO 8601 with a zone")
    likes: Value | None = None
    replies: Value | None = None
    views: Value | None = None
    next: Selector | None = Field(None, description="the link to the next page")

    @model_validator(mode="after")
    def _check_addresses(self) -> "ListsSection":
        if all(self.path_of(kind) is None for kind in ListKind):
            raise ValueError("name at least one of home, search and person")
        return self

    def path_of(self, kind: ListKind) -> str | None:
        """Where that list is; None: the site has none."""
        return {ListKind.HOME: self.home, ListKind.SEARCH: self.search, ListKind.PERSON: self.person}[kind]


class ProfileSection(Section):
    """Where an account's page keeps its figures."""

    path: UserPath
    followers: Value
    following: Value
    posts: Value


class LimitsSection(Section):
    """How gently to go about it."""

    min_delay_s: float = Field(0, ge=0, le=3600, description="between two pages that one lease opens")
