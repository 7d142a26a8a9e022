"""Site profiles: TOML files that say where a site keeps what a job needs; `docs/sites.md` has each key."""

import re
import string
import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.browser.guard import HostRule, HostRules
from orchestrator.errors import ProfileError
from orchestrator.sites.selectors import check_selector

SUFFIX = ".toml"
DEFAULT_PORTS = {"http": 80, "https": 443}


def _check_host(text: str) -> str:
    HostRule.parse(text)
    return text


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


def _check_group(text: str) -> str:
    if re.compile(_check_pattern(text)).groups != 1:
        raise ValueError(f"{text!r} needs exactly one group in round brackets")
    return text


def _check_base_url(text: str) -> str:
    parts = urlsplit(text)
    has_more = parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or has_more:
        raise ValueError(f"{text!r} is not an address such as https://example.org")
    HostRule.parse(parts.netloc)
    return text.rstrip("/")


def _path_with(*names: str) -> AfterValidator:
    """A path from the root, with no other placeholders than `names`, all of which it needs."""

    def check(text: str) -> str:
        if not text.startswith("/"):
            raise ValueError(f"{text!r} must begin with /")
        found = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        if found != set(names):
            wanted = ", ".join(f"{{{name}}}" for name in names) or "no placeholder"
            raise ValueError(f"{text!r} must have {wanted}")
        return text

    return AfterValidator(check)


Host = Annotated[str, AfterValidator(_check_host)]
BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
Selector = Annotated[str, AfterValidator(check_selector)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
GroupPattern = Annotated[str, AfterValidator(_check_group)]
PlainPath = Annotated[str, _path_with()]
UserPath = Annotated[str, _path_with("username")]
PostPath = Annotated[str, _path_with("reference")]


class Section(BaseModel):
    """A table of a profile: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(Section):
    """Where a value stands: the text of an element or one of its attributes, cut out by `pattern`.

    In TOML a plain string is a selector. Without a selector it is an attribute of the item itself.
    """

    selector: Selector | None = None
    attribute: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
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
    attribute: str | None = None
    pattern: GroupPattern | None = None
    url: GroupPattern | None = None

    @model_validator(mode="after")
    def _check(self) -> "ReferenceValue":
        if (self.url is None) == (self.selector is None):
            raise ValueError("name exactly one of selector and url")
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


class ComposeSection(Section):
    """How to publish, and how to tell whether it worked."""

    path: PlainPath
    text: Selector
    submit: Selector
    accepted: Selector = Field(description="stands where the site says that the post is out")
    reference: ReferenceValue
    refused: Selector = Field(description="the site's word on a post that it does not take")
    max_chars: int = Field(280, ge=1)
    answer_within_s: float = Field(15, gt=0, le=120)


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


class ProfileSection(Section):
    """Where an account's page keeps its figures."""

    path: UserPath
    followers: Value
    following: Value
    posts: Value


class LimitsSection(Section):
    """How gently to go about it."""

    min_delay_s: float = Field(0, ge=0, le=3600, description="between two pages that one lease opens")


class Profile(Section):
    """One site. `load_profile` makes it."""

    site: SiteSection
    sign_in: SignInSection
    compose: ComposeSection
    post: PostSection
    timeline: TimelineSection
    profile: ProfileSection | None = None
    limits: LimitsSection = LimitsSection()

    @cached_property
    def hosts(self) -> frozenset[str]:
        """All hosts that a context for this site may reach, the base address' own with its port."""
        parts = urlsplit(self.site.base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return frozenset({f"{host}:{parts.port or DEFAULT_PORTS[parts.scheme]}", *self.site.hosts})

    @cached_property
    def rules(self) -> HostRules:
        return HostRules.parse(self.hosts)

    def url(self, path: str, **values: str) -> str:
        """The address of a path of this profile, its placeholders filled."""
        filled = path.format(**{name: quote(value, safe="") for name, value in values.items()})
        return f"{self.site.base_url}{filled}"

    def is_reference(self, text: str) -> bool:
        return re.fullmatch(self.site.reference, text) is not None


def load_profile(name_or_path: str, base_url: str | None = None) -> Profile:
    """The bundled profile of that name, or the one in that TOML file, with another base address if given.

    Raises ProfileError, which names file, line and reason.
    """
    source, text = _read(name_or_path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{source}: not TOML: {error}") from error
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        raise _explain(source, text, error) from error
    return _moved(profile, source, base_url) if base_url is not None else profile


def _moved(profile: Profile, source: str, base_url: str) -> Profile:
    try:
        site = profile.site.model_copy(update={"base_url": _check_base_url(base_url)})
    except ValueError as error:
        raise ProfileError(f"{source}: base_url: {error}") from error
    return profile.model_copy(update={"site": site})


def bundled_profiles() -> list[str]:
    """The names of the profiles that come with the program."""
    names = (entry.name for entry in (resources.files("orchestrator.sites") / "profiles").iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def _read(name_or_path: str) -> tuple[str, str]:
    """The name to show and the text."""
    if name_or_path in bundled_profiles():
        file = resources.files("orchestrator.sites") / "profiles" / f"{name_or_path}{SUFFIX}"
        return f"profile {name_or_path}", file.read_text("utf-8")
    try:
        return name_or_path, Path(name_or_path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{name_or_path}: not UTF-8: {error}") from error
    except OSError as error:
        raise ProfileError(
            f"profile {name_or_path!r} can't be read: {error.strerror}",
            remedy=f"name a TOML file, or one of: {', '.join(bundled_profiles())}",
        ) from error


def _explain(source: str, text: str, error: ValidationError) -> ProfileError:
    first, *others = error.errors(include_url=False)
    location = [str(part) for part in first["loc"]]
    more = f" (and {len(others)} more)" if others else ""
    line = _line_of(text, location)
    return ProfileError(f"{source}, line {line}: {'.'.join(location)}: {_reason(first)}{more}")


def _reason(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "missing":
        return "missing"
    return str(problem["msg"]).removeprefix("Value error, ")


def _line_of(text: str, location: list[str]) -> int:
    """The line of a key in TOML text; of its section when it is not there; 1 when that is missing too."""
    section, *rest = location
    key = rest[0] if rest else None
    best, current = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]#]+?)\s*\]", line)
        if header is not None:
            current = header[1].strip("\"'")
            if current == section:
                best = number
            if key is not None and current == f"{section}.{key}":
                return number
        elif (current == section and key is not None and _assigns(line, key)) or (
            not current and _assigns(line, section)
        ):
            return number
    return best


def _assigns(line: str, key: str) -> bool:
    return re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) is not None
