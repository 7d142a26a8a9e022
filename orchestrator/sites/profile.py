"""Site profiles: TOML files that say where a site keeps what a job needs; `docs/sites.md` has each key."""

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from orchestrator.browser.guard import HostRules
from orchestrator.errors import ProfileError
from orchestrator.sites.sections import (
    DEFAULT_PORTS,
    ComposeSection,
    LimitsSection,
    ListsSection,
    PostSection,
    ProfileSection,
    ReplySection,
    Section,
    SignInSection,
    SiteSection,
    TimelineSection,
    check_base_url,
)

SUFFIX = ".toml"


class Profile(Section):
    """One site. `load_profile` makes it."""

    site: SiteSection
    sign_in: SignInSection
    compose: ComposeSection
    post: PostSection
    timeline: TimelineSection
    reply: ReplySection | None = None
    profile: ProfileSection | None = None
    lists: ListsSection | None = None
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


def load_profile(
    name_or_path: str, base_url: str | None = None, visit_timeout_s: float | None = None
) -> Profile:
    """The bundled profile of that name, or the one in that TOML file, with another base address if given.

    Raises ProfileError, which names file, line and reason; also when the profile waits for an answer longer
    than a visit may take.
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
    _check_patience(profile, source, text, visit_timeout_s)
    return _moved(profile, source, base_url) if base_url is not None else profile


def _check_patience(profile: Profile, source: str, text: str, visit_timeout_s: float | None) -> None:
    for name, section in (("compose", profile.compose), ("reply", profile.reply)):
        within_s = section.answer_within_s if section is not None else 0.0
        if visit_timeout_s is not None and within_s > visit_timeout_s:
            line = _line_of(text, [name, "answer_within_s"])
            raise ProfileError(
                f"{source}, line {line}: {name}.answer_within_s: {within_s:g} is above "
                f"browser.visit_timeout_s ({visit_timeout_s:g}), which ends the visit first"
            )


def _moved(profile: Profile, source: str, base_url: str) -> Profile:
    try:
        site = profile.site.model_copy(update={"base_url": check_base_url(base_url)})
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
            remedy=f"Name a TOML file, or one of: {', '.join(bundled_profiles())}.",
        ) from error


def _explain(source: str, text: str, error: ValidationError) -> ProfileError:
    """A line for each thing that is wrong, from the top of the file on."""
    found = []
    for problem in error.errors(include_url=False):
        location = [str(part) for part in problem["loc"]]
        found.append((_line_of(text, location), f"{'.'.join(location)}: {_reason(problem)}"))
    return ProfileError("\n".join(f"{source}, line {line}: {what}" for line, what in sorted(found)))


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
