"""Every setting, with its default, unit and allowed values.

A setting comes from, in this order: command line, environment (`ORCHESTRATOR_DATABASE__DSN`), TOML
file (`ORCHESTRATOR_CONFIG` or `--config`), default. Wrong settings stop the program at once, each with
one line that names the setting, its value, where it came from and what is allowed.
"""

import difflib
import os
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orchestrator import crash
from orchestrator.errors import SettingsError
from orchestrator.settings.accounts_file import read_accounts
from orchestrator.settings.address import passwords_in, shown_address
from orchestrator.settings.analysis import AnalysisSettings
from orchestrator.settings.api import ApiSettings
from orchestrator.settings.base import Seconds, Section, read_secret
from orchestrator.settings.cache import CACHE, CacheSettings
from orchestrator.settings.feeds import FEED_PREFIX, FeedSettings
from orchestrator.settings.llm import LANGUAGE_MODEL, LanguageModelSettings
from orchestrator.settings.opportunities import OpportunitiesSettings
from orchestrator.settings.pacing import PacingSettings
from orchestrator.settings.predictor import PredictorSettings
from orchestrator.settings.retention import RetentionSettings
from orchestrator.settings.sources import Layer, Route, merge_all, read_toml, read_variables
from orchestrator.settings.upkeep import UpkeepSettings
from orchestrator.settings.words import (
    Complaints,
    Schema,
    SettingRow,
    find_exact,
    not_json,
    rows,
    unknown_variable,
)

PREFIX = "ORCHESTRATOR_"
CONFIG_VARIABLE = "ORCHESTRATOR_CONFIG"
SITE_PREFIX = "site:"
"""How the name of a site's breaker begins."""
ALERTS_PREFIX = "alerts:"
"""The same of a destination of alerts."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


class HttpSettings(Section):
    """Where `/livez`, `/readyz` and `/metrics` answer."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8700, ge=0, le=65535, description="TCP port; 0 takes any free one")
    allowed_hosts: list[str] = Field(
        [], description="names that a request's Host may have, besides those of the loopback"
    )


class ControlSettings(Section):
    """The control socket, and who may do what on it."""

    socket: Path | None = Field(None, description="default: control.sock in the state directory")
    view_groups: list[str] = Field([], description="Unix groups that may look")
    operate_groups: list[str] = Field([], description="Unix groups that may pause, resume and run")
    idle_timeout_s: Seconds = Field(60, description="a silent connection is closed after so long")
    max_connections: int = Field(32, ge=1, le=1024, description="connections at once")


class DatabaseSettings(Section):
    """PostgreSQL: our own embedded server, or the one that `dsn` names."""

    dsn: SecretStr | None = Field(
        None, description="postgresql://user:password@host/name; default: our own embedded server"
    )
    pool_size: int = Field(10, ge=2, le=100, description="connections at most")
    connect_timeout_s: Seconds = Field(10, description="one attempt to connect")
    statement_timeout_s: Seconds = Field(30, description="longest statement")
    lease_ttl_s: Seconds = Field(10, description="a daemon silent for so long loses the database")
    slow_s: Seconds = Field(1, description="statements and transactions that take longer are logged")
    leak_s: Seconds = Field(60, description="a connection held for longer is a problem in `ctl status`")

    @field_validator("dsn")
    @classmethod
    def _check_dsn(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is not None:
            shown_address(dsn.get_secret_value())
        return dsn


class BrowserSettings(Section):
    """The browser and its contexts."""

    executable: Path | None = Field(None, description="default: the best one found on this machine")
    visit_timeout_s: Seconds = Field(30, description="one whole page visit")
    launch_timeout_s: Seconds = Field(
        30, le=100, description="start of the browser; a run of health_monitor waits for it"
    )
    session_key: SecretStr | None = Field(
        None,
        description="Fernet keys for stored sign-ins, newest first, separated by commas; "
        "default: one is made in the state directory",
    )
    session_key_file: Path | None = Field(None, description="a file that holds what session_key would")

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.session_key is not None and self.session_key_file is not None:
            raise ValueError("give session_key or session_key_file, not both")
        return self


class AllocatorSettings(Section):
    """Who may use a browser context next; `docs/allocator.md` explains each rule."""

    capacity: int = Field(3, ge=1, le=64, description="browser contexts")
    critical_guarantee: int = Field(1, ge=0, description="contexts kept for critical jobs, never lent")
    high_guarantee: int = Field(1, ge=0, description="contexts that jobs of priority 1 can get back")
    background_guarantee: int = Field(1, ge=0, description="the same for the other jobs")
    ageing_s: Seconds = Field(30, description="one level of priority is worth so much waiting")
    critical_wait_s: Seconds = Field(60, description="critical jobs never wait longer")
    grace_s: Seconds = Field(15, description="from the call-back of a lease until its holder is cancelled")
    cleanup_s: Seconds = Field(20, description="longest that a cancelled holder still needs its context")
    max_hold_s: Seconds = Field(600, description="longest hold of a lease that names none")
    queue_limit: int = Field(1000, ge=1, description="waiting requests in each lane")

    @model_validator(mode="after")
    def _check_guarantees(self) -> Self:
        total = self.critical_guarantee + self.high_guarantee + self.background_guarantee
        if total > self.capacity:
            raise ValueError(
                f"the guarantees add up to {total} but capacity is {self.capacity}; "
                "lower a guarantee or raise allocator.capacity"
            )
        if self.critical_guarantee >= self.capacity:
            raise ValueError(
                f"critical_guarantee ({self.critical_guarantee}) must be below capacity ({self.capacity}): "
                "contexts kept for critical jobs are lent to no other job, and some of those need one too"
            )
        if self.patience_s <= 0:
            needed = f"grace_s {self.grace_s:g} + cleanup_s {self.cleanup_s:g}"
            raise ValueError(
                f"no context can be had back within critical_wait_s {self.critical_wait_s:g}: that takes "
                f"{needed} = {self.grace_s + self.cleanup_s:g} s; lower these or raise critical_wait_s"
            )
        return self

    @property
    def patience_s(self) -> float:
        """How long a critical job waits before a context is taken for it: then it comes just in time."""
        return self.critical_wait_s - self.grace_s - self.cleanup_s


class MemorySettings(Section):
    """When memory is short, and what a context may weigh; `docs/memory.md` explains it. MB are 10^6 bytes."""

    warning_mb: int | None = Field(
        None, ge=1, description="above it work is shed step by step; default: from the machine"
    )
    critical_mb: int | None = Field(
        None, ge=1, description="above it work is shed at once; default: from the machine"
    )
    context_mb: int = Field(100, ge=1, description="a context whose pages weigh more is renewed")
    extra_context: bool = Field(
        True, description="one more context while background jobs wait and memory allows it"
    )

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if (self.warning_mb is None) != (self.critical_mb is None):
            raise ValueError("give warning_mb and critical_mb, or neither")
        if (
            self.warning_mb is not None
            and self.critical_mb is not None
            and self.warning_mb >= self.critical_mb
        ):
            raise ValueError(f"warning_mb ({self.warning_mb}) must be below critical_mb ({self.critical_mb})")
        return self


class JobSettings(Section):
    """Changes to one job's defaults; `orchestrator ctl jobs` lists the names."""

    enabled: bool = Field(True, description="false switches the job off")
    every_s: Seconds | None = Field(None, description="seconds between two runs")
    daily_at: str | None = Field(
        None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM; this or every_s"
    )
    time_zone: str = Field("UTC", description="IANA name; daily_at is in it")

    @model_validator(mode="after")
    def _check_timing(self) -> Self:
        if self.every_s is not None and self.daily_at is not None:
            raise ValueError("give every_s or daily_at, not both")
        if self.daily_at is None and "time_zone" in self.model_fields_set:
            raise ValueError("time_zone goes with daily_at; give both or neither")
        return self


class SiteSettings(Section):
    """A site that accounts belong to."""

    profile: str = Field(description="name of a bundled profile, or path of a TOML file")
    base_url: str | None = Field(None, description="where the site is, if not where the profile says")


class AccountSettings(Section):
    """An account that the daemon posts for."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$", description="what we call it; unique")
    site: str = Field(description="a name under `sites`")
    username: str = Field(description="its name at the sign-in of the site")
    password: SecretStr | None = Field(None, description="this or password_file")
    password_file: Path | None = Field(
        None, description="its first line; a relative path is looked up in $CREDENTIALS_DIRECTORY first"
    )
    time_zone: str = Field("UTC", description="IANA name; hours of posting are in it")
    posts_per_day: int = Field(24, ge=0, le=10_000, description="at most, from midnight to midnight")
    replies_per_day: int = Field(10, ge=0, le=10_000, description="the same for replies, besides the posts")
    sign_ins_per_day: int = Field(24, ge=1, le=10_000, description="the same for sign-ins")
    visits_per_day: int = Field(
        5000, ge=1, le=1_000_000, description="the same for visits: a context's use by a job"
    )

    @model_validator(mode="after")
    def _check_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("give exactly one of password and password_file")
        return self

    def read_password(self, environ: Mapping[str, str] | None = None) -> SecretStr:
        """The password, from the settings or its file. Raises SettingsError that names account and file."""
        if self.password is not None:
            return self.password
        assert self.password_file is not None
        return read_secret(self.password_file, f"account {self.name}: password_file", environ)


class ContentSettings(Section):
    """Where texts come from and what they must satisfy."""

    folder: Path | None = Field(
        None, description="Markdown files, the only texts then; default: the bundled files and templates"
    )
    min_chars: int = Field(20, ge=1, description="shorter texts are refused")
    max_chars: int = Field(280, ge=1, description="longer texts are refused")
    banned_words: list[str] = Field([], description="texts with one of them are refused")
    posts_a_run: int = Field(2, ge=1, le=10, description="drafts that one run of `plan` writes")
    queue_target: int = Field(4, ge=1, description="posts that wait in each account's queue")
    horizon_h: int = Field(12, ge=1, le=24, description="how far ahead a post is planned")
    figures: bool = Field(
        False, description="once a week an account posts its own figures and best post (`docs/content.md`)"
    )
    feeds: dict[str, FeedSettings] = Field({})

    @model_validator(mode="after")
    def _check_chars(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) must not be above max_chars ({self.max_chars})")
        return self


class LearningSettings(Section):
    """When an outcome is meaningful, and how much the past counts."""

    settle_h: float = Field(6, gt=0, description="a post is learned from at this age")
    min_views: int = Field(10, ge=0, description="a post with fewer teaches nothing")
    history: int = Field(50, ge=5, description="earlier posts that a post is compared with")


SENDING_ENDS_S = 15
"""Beyond a visit's own time limit: the commit of the intent before it, and breaking off what was sent."""


class PostingSettings(Section):
    """Safety of posting."""

    settle_s: float = Field(
        60,
        ge=45,
        description="between the two reads that show a post is not there; at least "
        "`browser.visit_timeout_s` + 15, and longer than the site takes to show a post",
    )
    stuck_s: float = Field(
        900,
        ge=180,
        description="a post submitting for so long is ambiguous; longer than a run of `posting` (120 s)",
    )
    attempts: int = Field(5, ge=1, description="tries before a post is failed")
    replies_need_approval: bool = Field(
        True, description="no reply goes out before a person has approved it (`ctl reply approve`)"
    )


class BreakerFigures(Section):
    """When one outside party that does not answer is left alone; what is not set is as for all."""

    failures: int | None = Field(None, ge=1, description="calls in a row without an answer")
    open_s: Seconds | None = Field(None, description="until it is asked again; doubles each further time")
    open_max_s: Seconds | None = Field(None, description="never longer than this")
    probe_s: Seconds | None = Field(None, description="a probe that is not back after this has failed")


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """The figures that apply to one party."""

    failures: int
    open_s: float
    open_max_s: float
    probe_s: float | None
    """None: what suits the party."""


class BreakersSettings(Section):
    """When an outside party that does not answer is left alone, and for how long.

    `docs/breaker.md` has the rules.
    """

    failures: int = Field(5, ge=1, description="calls in a row without an answer, until it is left alone")
    open_s: Seconds = Field(10, description="until it is asked again; twice as long each further time")
    open_max_s: Seconds = Field(300, description="never longer than this")
    probe_s: Seconds | None = Field(
        None, description="a probe that is not back after this has failed; default: what suits the party"
    )
    parties: dict[str, BreakerFigures] = Field(
        {}, description="other figures for single ones, by the names that `ctl breakers` shows"
    )

    def of(self, name: str) -> BreakerLimits:
        """What applies to the party of this name."""
        own = self.parties.get(name, BreakerFigures())
        return BreakerLimits(
            own.failures or self.failures,
            own.open_s or self.open_s,
            own.open_max_s or self.open_max_s,
            own.probe_s or self.probe_s,
        )

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        for name in ("", *self.parties):
            found, of = self.of(name), f"parties.{name}: " if name else ""
            if found.open_s > found.open_max_s:
                raise ValueError(
                    f"{of}open_s ({found.open_s:g}) must not be above open_max_s ({found.open_max_s:g})"
                )
        return self


class AlertDestination(Section):
    """Where alerts are told."""

    url: SecretStr | None = Field(
        None, description="where to, as Apprise writes it (`docs/alerts.md`); this or url_file"
    )
    url_file: Path | None = Field(
        None, description="its first line; a relative path is looked up in $CREDENTIALS_DIRECTORY first"
    )
    severity: Literal["warning", "critical"] = Field("warning", description="the least that is told")

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give exactly one of url and url_file")
        return self


class AlertsSettings(Section):
    """When a problem becomes an alert, and whom to tell; `docs/alerts.md` says more."""

    down_s: float = Field(120, ge=0, description="a check that is down for so long; breakers at once")
    breaker_s: Seconds = Field(1800, description="an outside party left alone for so long is critical")
    repeat_s: Seconds = Field(14_400, description="what lasts is told again after so long")
    timeout_s: float = Field(30, gt=0, le=60, description="one message")
    destinations: dict[str, AlertDestination] = Field({})

    def read_url(self, name: str, environ: Mapping[str, str] | None = None) -> SecretStr:
        """Where a destination is. Raises SettingsError that names destination and file."""
        destination = self.destinations[name]
        if destination.url is not None:
            return destination.url
        assert destination.url_file is not None
        return read_secret(destination.url_file, f"alerts.destinations.{name}: url_file", environ)


class ClockSettings(Section):
    """A faster wall clock, for demos."""

    speed: float = Field(1.0, gt=0, le=10_000, description="seconds shown for each real one")
    real_epoch: float = Field(
        0.0, ge=0, description="real moment from which it runs, seconds since 1970; with speed"
    )
    shown_epoch: float = Field(0.0, ge=0, description="what it showed then, seconds since 1970; with speed")

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        is_real = self.speed == 1 and not self.real_epoch and not self.shown_epoch
        if not is_real and not (self.real_epoch and self.shown_epoch):
            raise ValueError(
                "a clock that is not the machine's needs real_epoch and shown_epoch, both seconds since 1970 "
                "(`date +%s`); leave all three out for the machine's own"
            )
        return self


class GateSettings(Section):
    """Start-up checks."""

    attempts: int = Field(3, ge=1, description="tries of a failing check before it counts as down")
    base_s: Seconds = Field(1, description="longest pause after the first failure; doubles each time")
    cap_s: Seconds = Field(30, description="longest pause at all")
    database_wait_s: Seconds = Field(30, description="an unreachable database is tried for so long")


class LogSettings(Section):
    """What is logged, and where."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console in a terminal, JSON elsewhere"
    )
    file: Path | None = Field(None, description="also written here, as JSON")
    file_max_bytes: int = Field(10_000_000, ge=10_000, description="a larger file is put aside")
    file_backups: int = Field(5, ge=1, le=100, description="files put aside that are kept")


class Settings(BaseSettings):
    """All settings; `Settings.load` is the way to make one from files and environment."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    state_dir: Path = Field(Path("/var/lib/orchestrator"), description="everything that is kept between runs")
    shutdown_deadline_s: Seconds = Field(30, description="running jobs get so long to end")
    http: HttpSettings = HttpSettings()
    api: ApiSettings = ApiSettings()
    control: ControlSettings = ControlSettings()
    database: DatabaseSettings = DatabaseSettings()
    browser: BrowserSettings = BrowserSettings()
    allocator: AllocatorSettings = AllocatorSettings()
    memory: MemorySettings = MemorySettings()
    jobs: dict[str, JobSettings] = {}
    sites: dict[str, SiteSettings] = {}
    accounts: list[AccountSettings] = []
    accounts_file: Path | None = Field(
        None, description="more accounts, in a file that ends in .csv or .toml; `docs/accounts.md`"
    )
    content: ContentSettings = ContentSettings()
    language_model: LanguageModelSettings = LanguageModelSettings()
    learning: LearningSettings = LearningSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    predictor: PredictorSettings = PredictorSettings()
    posting: PostingSettings = PostingSettings()
    pacing: PacingSettings = PacingSettings()
    opportunities: OpportunitiesSettings = OpportunitiesSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    breakers: BreakersSettings = BreakersSettings()
    cache: CacheSettings = CacheSettings()
    alerts: AlertsSettings = AlertsSettings()
    retention: RetentionSettings = RetentionSettings()
    clock: ClockSettings = ClockSettings()
    gate: GateSettings = GateSettings()
    log: LogSettings = LogSettings()

    _layers: tuple[Layer, ...] = PrivateAttr(())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands in: its layers know the file and line, or variable, of each value."""
        return (init_settings,)

    def secrets(self) -> list[SecretStr]:
        """Everything that must never be shown, for the log's redactor; addresses' passwords too."""
        given = [self.database.dsn, self.browser.session_key, self.language_model.read_key()]
        given.append(self.api.read_token())
        passwords = [account.read_password() for account in self.accounts]
        destinations = [self.alerts.read_url(name) for name in self.alerts.destinations]
        addresses = [self.database.dsn, *destinations]
        within = [
            SecretStr(word)
            for address in filter(None, addresses)
            for word in sorted(passwords_in(address.get_secret_value()))
        ]
        return [*filter(None, [*given, self.cache.read_password()]), *passwords, *destinations, *within]

    def source(self, *route: str) -> str:
        """Where a setting that applies comes from, such as "from ORCHESTRATOR_HTTP__PORT"."""
        return find_exact(self._layers, route)

    @classmethod
    def load(
        cls,
        config: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read all sources and check them.

        `overrides` (the command line) and `defaults` (a program's own, below everything else) are trees
        such as `{"http": {"port": 0}}`. Raises SettingsError with one line for each thing that is wrong.
        """
        environ = os.environ if environ is None else environ
        variables, unknown = _read_environment(cls, environ)
        file = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
        layers = [
            *([Layer(dict(overrides), lambda _: "on the command line")] if overrides else []),
            *variables,
            *([read_toml(file)] if file else []),
            *([Layer(dict(defaults), lambda _: "built in")] if defaults else []),
        ]
        return cls._check(tuple(layers), unknown)

    @classmethod
    def recombined(cls, tree: Mapping[str, Any], like: "Settings") -> Self:
        """Settings of values that were checked before, each for itself, and that come from where `like` does.

        Raises SettingsError for what does not go together.
        """
        complaints = Complaints(Schema(cls), like._layers, tree)
        try:
            settings = cls(**tree)
        except ValidationError as error:
            raise SettingsError("\n".join(complaints.lines(error))) from None
        if wrong := [complaints.line(route, problem) for route, problem in _cross_check(settings)]:
            raise SettingsError("\n".join(wrong))
        settings._layers = like._layers
        return settings

    @classmethod
    def _check(cls, layers: tuple[Layer, ...], wrong: list[str]) -> Self:
        layers = _with_accounts_file(layers)
        tree = merge_all(layers)
        complaints = Complaints(Schema(cls), layers, tree)
        try:
            settings = cls(**tree)
        except ValidationError as error:
            # Without its cause: that one shows input, which may hold a secret.
            raise SettingsError("\n".join(wrong + complaints.lines(error))) from None
        wrong = wrong + [complaints.line(route, problem) for route, problem in _cross_check(settings)]
        if wrong:
            raise SettingsError("\n".join(wrong))
        settings._layers = layers
        return settings


def describe(settings: Settings) -> list[SettingRow]:
    """Every setting that applies, its value (secrets hidden) and where it came from."""
    return list(rows(settings, settings._layers))


def variable_names(model: type[BaseModel] = Settings) -> list[str]:
    """The environment variables of all settings that have one name; entries of tables have many."""
    return [PREFIX + "__".join(route).upper() for route in _names(model)]


def _names(model: type[BaseModel], route: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield (*route, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, (*route, name))


def _read_environment(model: type[Settings], environ: Mapping[str, str]) -> tuple[list[Layer], list[str]]:
    """The layers of all variables with our prefix, and complaints about those that can't be one."""
    layers: list[Layer] = []
    wrong: list[str] = []
    for variable in read_variables(model, PREFIX, environ):
        if variable.name in (CONFIG_VARIABLE, *crash.VARIABLES):
            continue
        if variable.kind is None:
            names = [CONFIG_VARIABLE, *variable_names()]
            wrong.append(unknown_variable(variable, PREFIX, names, Schema(model)))
            continue
        try:
            layers.append(variable.layer())
        except ValueError:
            wrong.append(not_json(variable))
    return layers, wrong


def _with_accounts_file(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """`layers`, and above them the accounts of the file that they name: they follow those of the settings."""
    tree = merge_all(layers)
    path, accounts = tree.get("accounts_file"), tree.get("accounts", [])
    if not isinstance(path, str | Path) or not isinstance(accounts, list):
        return layers  # what is wrong is found with all the rest
    return read_accounts(Path(path), len(accounts), list(AccountSettings.model_fields)), *layers


def _cross_check(settings: Settings) -> Iterator[tuple[Route, str]]:
    """What can only be seen of all settings together: the setting's route and what is wrong with it."""
    names: set[str] = set()
    for index, account in enumerate(settings.accounts):
        route = ("accounts", index)
        if account.name in names:
            yield (*route, "name"), "another account has this name"
        names.add(account.name)
        if account.site not in settings.sites:
            known = ", ".join(settings.sites) or "none is set; add a table [sites.NAME]"
            yield (*route, "site"), f"must be one of the sites: {known}"
        if problem := time_zone_problem(account.time_zone):
            yield (*route, "time_zone"), problem
    for name, job in settings.jobs.items():
        if problem := time_zone_problem(job.time_zone):
            yield ("jobs", name, "time_zone"), problem
    yield from _check_parties(settings)
    if problem := _folder_problem(settings.content.folder):
        yield ("content", "folder"), problem
    visit_s, settle_s = settings.browser.visit_timeout_s, settings.posting.settle_s
    if settle_s < visit_s + SENDING_ENDS_S:
        least = f"{visit_s:g} + {SENDING_ENDS_S} = {visit_s + SENDING_ENDS_S:g}"
        problem = f"must be at least browser.visit_timeout_s + {SENDING_ENDS_S} s, that is {least}"
        yield ("posting", "settle_s"), f"{problem}: until then a visit may still be sending the post"
    if not _is_on(settings, "reconciliation") and _is_on(settings, "posting"):
        problem = "must be true while posting is on, since nothing else settles posts in doubt"
        yield ("jobs", "reconciliation", "enabled"), f"{problem}; or switch jobs.posting off too"


def _check_parties(settings: Settings) -> Iterator[tuple[Route, str]]:
    for name in settings.content.feeds:
        if not _NAME.fullmatch(name):
            yield ("content", "feeds", name), "a name has 1 to 32 letters, digits, - and _"
    for name in settings.alerts.destinations:
        if not _NAME.fullmatch(name):
            yield ("alerts", "destinations", name), "a name has 1 to 32 letters, digits, - and _"
    parties = party_names(settings)
    for name in settings.breakers.parties:
        if name not in parties:
            known = ", ".join(parties) or "none, since no site is set"
            yield ("breakers", "parties", name), f"there is no such outside party; there are: {known}"


def party_names(settings: Settings) -> list[str]:
    """The outside parties that have a breaker, by its name."""
    sites = {SITE_PREFIX + site for site in settings.sites}
    model = {LANGUAGE_MODEL} if settings.language_model.base_url is not None else set()
    cache = {CACHE} if settings.cache.url is not None else set()
    feeds = {FEED_PREFIX + name for name in settings.content.feeds}
    destinations = {ALERTS_PREFIX + name for name in settings.alerts.destinations}
    return sorted(sites | feeds | cache | model | destinations)


def _is_on(settings: Settings, job: str) -> bool:
    return settings.jobs.get(job, JobSettings()).enabled


def _folder_problem(folder: Path | None) -> str:
    """Why no texts can be read from `folder`; empty when they can."""
    if folder is None:
        return ""
    if not folder.is_dir():
        return "there is no such folder; make it, correct the name, or leave it out for the bundled texts"
    if not os.access(folder, os.R_OK | os.X_OK):
        return "the folder can't be read; let the daemon's user read and enter it"
    return ""


def time_zone_problem(name: str) -> str:
    """What is wrong with the name of a time zone; empty when nothing is."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        if not known:
            return "this machine has no time zones: install tzdata"
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "such as Europe/Berlin or UTC"
        return f"must be the IANA name of a time zone; {hint}"
    return ""
