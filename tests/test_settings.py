"""Settings: where they come from, what is refused, and in which words."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SettingsError
from orchestrator.settings import AccountSettings, LogSettings, Settings, describe, variable_names
from orchestrator.settings.address import shown_address

CANARY = "canary-7f3a9"
ACCOUNT = {"name": "ada", "site": "demo", "username": "ada", "password": CANARY}
BUILT_IN = {"sites": {"demo": {"profile": "demo"}}, "accounts": [ACCOUNT]}


def refusal(**sources: Any) -> list[str]:
    """The lines with which these sources are refused."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(**{"environ": {}, **sources})
    return str(caught.value).splitlines()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "orchestrator.toml"


# ── sources ─────────────────────────────────────────────────────────────────────────────────────


def test_without_any_source_the_defaults_apply() -> None:
    assert Settings.load(environ={}) == Settings()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(config: Path) -> None:
    config.write_text('[http]\nport = 1\nhost = "::1"\n[log]\nlevel = "debug"\n[database]\npool_size = 7\n')
    settings = Settings.load(
        config,
        {"http": {"port": 3}},
        {"ORCHESTRATOR_HTTP__PORT": "2", "ORCHESTRATOR_LOG__LEVEL": "error"},
        {"database": {"pool_size": 4}, "gate": {"attempts": 9}},
    )
    assert (settings.http.port, settings.http.host) == (3, "::1")
    assert settings.log.level == "error"
    assert (settings.database.pool_size, settings.gate.attempts) == (7, 9)


def test_the_file_is_named_by_a_variable_unless_the_command_line_names_one(config: Path) -> None:
    config.write_text("[http]\nport = 1\n")
    environ = {"ORCHESTRATOR_CONFIG": str(config)}
    assert Settings.load(environ=environ).http.port == 1
    other = config.with_name("other.toml")
    other.write_text("[http]\nport = 2\n")
    assert Settings.load(other, environ=environ).http.port == 2


def test_a_variable_may_hold_a_whole_table_or_list_as_json() -> None:
    environ = {
        "ORCHESTRATOR_ACCOUNTS": json.dumps([ACCOUNT]),
        "ORCHESTRATOR_SITES": '{"demo": {"profile": "demo"}}',
        "ORCHESTRATOR_HTTP": '{"port": 9, "host": "::1"}',
        "ORCHESTRATOR_HTTP__PORT": "10",
    }
    settings = Settings.load(environ=environ)
    assert [account.name for account in settings.accounts] == ["ada"]
    assert (settings.http.port, settings.http.host) == (10, "::1")


def test_a_variable_may_change_one_entry_of_a_list(config: Path) -> None:
    config.write_text(
        '[sites.demo]\nprofile = "demo"\n'
        + "".join(
            f'[[accounts]]\nname = "{name}"\nsite = "demo"\nusername = "{name}"\npassword = "x"\n'
            for name in ("ada", "bob")
        )
    )
    settings = Settings.load(config, environ={"ORCHESTRATOR_ACCOUNTS__1__PASSWORD": CANARY})
    passwords = [account.read_password({}).get_secret_value() for account in settings.accounts]
    assert passwords == ["x", CANARY]


def test_variables_alone_may_make_a_list_of_many_entries() -> None:
    environ = {"ORCHESTRATOR_SITES__DEMO__PROFILE": "demo"}
    for index in range(12):
        account = {**ACCOUNT, "name": f"account{index}"}
        environ |= {f"ORCHESTRATOR_ACCOUNTS__{index}__{key}".upper(): value for key, value in account.items()}
    settings = Settings.load(environ=environ)
    assert [account.name for account in settings.accounts] == [f"account{index}" for index in range(12)]


def test_a_gap_in_a_list_is_refused() -> None:
    [line] = refusal(environ={"ORCHESTRATOR_ACCOUNTS__2__NAME": "ada"})
    assert (
        line == "from ORCHESTRATOR_ACCOUNTS__2__NAME: there is no entry 2; the list has 0, so the next is 0"
    )


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = Settings.load(environ={"ORCHESTRATOR_DATABASE__DSN": "", "ORCHESTRATOR_CONFIG": ""})
    assert settings.database.dsn is None


def test_settings_do_not_change() -> None:
    settings = Settings.load(environ={}, defaults=BUILT_IN)
    with pytest.raises(ValueError, match="frozen"):
        settings.http = settings.http  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.accounts[0].name = "bob"  # type: ignore[misc]


# ── refusals ────────────────────────────────────────────────────────────────────────────────────


def test_a_bad_value_in_the_file_is_refused_by_name_value_line_and_what_is_allowed(config: Path) -> None:
    config.write_text("# port\n\n[http]\nport = 70000\n")
    assert refusal(config=config) == [
        f"http.port = 70000 (in {config}, line 4): must be an integer from 0 to 65535"
    ]


def test_a_bad_value_in_the_environment_is_refused_by_the_name_of_the_variable() -> None:
    assert refusal(environ={"ORCHESTRATOR_LOG__LEVEL": "loud"}) == [
        "log.level = 'loud' (from ORCHESTRATOR_LOG__LEVEL): must be one of debug, info, warning, error"
    ]


def test_a_bad_value_on_the_command_line_is_refused() -> None:
    assert refusal(overrides={"http": {"port": -1}}) == [
        "http.port = -1 (on the command line): must be an integer from 0 to 65535"
    ]


@pytest.mark.parametrize("text", ["inf", "nan", "-1", "0", "soon"])
def test_a_duration_is_a_finite_number_above_zero(text: str) -> None:
    [line] = refusal(environ={"ORCHESTRATOR_SHUTDOWN_DEADLINE_S": text})
    assert line.endswith("must be a number above 0")


def test_the_start_of_a_browser_may_not_take_longer_than_the_job_that_looks_whether_it_is_up() -> None:
    [line] = refusal(environ={"ORCHESTRATOR_BROWSER__LAUNCH_TIMEOUT_S": "110"})
    assert "browser.launch_timeout_s" in line
    assert "100" in line


@pytest.mark.parametrize(
    ("key", "meant"), [("prot", "http.port"), ("hosts", "http.host")], ids=["swapped", "one too many"]
)
def test_an_unknown_key_in_the_file_gets_the_nearest_name(config: Path, key: str, meant: str) -> None:
    config.write_text(f'[http]\n{key} = "x"\n')
    assert refusal(config=config) == [
        f"http.{key} (in {config}, line 2): there is no such setting; did you mean {meant}?"
    ]


def test_an_unknown_key_near_to_nothing_gets_the_list_of_names(config: Path) -> None:
    config.write_text("[http]\nqqq = 1\n")
    assert (
        refusal(config=config)[0]
        .partition("): ")[2]
        .startswith("there is no such setting; http has host, port")
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ORCHESTRATOR_HTTP_PORT", "ORCHESTRATOR_HTTP__PORT"),
        ("ORCHESTRATOR_CONFG", "ORCHESTRATOR_CONFIG"),
        ("ORCHESTRATOR_ACCOUNTS__0__PASSWRD", "ORCHESTRATOR_ACCOUNTS__0__PASSWORD"),
        ("ORCHESTRATOR_HTTP__PORT__X", "ORCHESTRATOR_HTTP__PORT"),
    ],
)
def test_an_unknown_variable_with_our_prefix_is_refused(name: str, meant: str) -> None:
    [line] = refusal(environ={name: CANARY})
    assert f"(from {name}): there is no such setting; did you mean {meant}?" in line


def test_a_setting_that_a_job_has_not_is_told_with_those_that_it_has() -> None:
    name = "ORCHESTRATOR_JOBS__FOLLOWER_COUNT__PRIORITY"
    [line] = refusal(environ={name: "1"})
    assert line.startswith(
        f"jobs.follower_count.priority (from {name}): there is no such setting; "
        "jobs.follower_count has enabled, every_s, daily_at, "
    )


def test_variables_of_others_are_none_of_our_business() -> None:
    assert Settings.load(environ={"HTTP_PORT": "x", "ORCHESTRATORX": "y"}) == Settings()


def test_a_missing_key_is_named_with_the_table_that_lacks_it(config: Path) -> None:
    config.write_text('[sites.demo]\nbase_url = "http://localhost"\n')
    assert refusal(config=config) == [
        f"sites.demo.profile (in {config}, line 1): is missing; it must be text"
    ]


def test_a_rule_over_several_settings_names_their_section(config: Path) -> None:
    config.write_text("[allocator]\nhigh_guarantee = 4\n")
    [line] = refusal(config=config)
    assert line.startswith(f"allocator (in {config}, line 1): the guarantees add up to 6 but capacity is 3")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[clock]\nspeed = 240\n", "clock", "needs real_epoch and shown_epoch"),
        ("[clock]\nspeed = 240\nreal_epoch = 1e9\n", "clock", "needs real_epoch and shown_epoch"),
        ("[clock]\nshown_epoch = 1e9\n", "clock", "needs real_epoch and shown_epoch"),
        (
            "[jobs.plan]\nevery_s = 60\ndaily_at = '03:15'\n",
            "jobs.plan",
            "give every_s or daily_at, not both",
        ),
        ("[jobs.plan]\ntime_zone = 'UTC'\n", "jobs.plan", "time_zone goes with daily_at"),
        (
            "[jobs.plan]\ndaily_at = '03:15'\ntime_zone = 'Europe/Berln'\n",
            "jobs.plan.time_zone = 'Europe/Berln'",
            "did you mean Europe/Berlin?",
        ),
        ("[posting]\nsettle_s = 44\n", "posting.settle_s = 44", "must be a number, at least 45"),
        ("[breakers]\nopen_s = 400\n", "breakers", "open_s (400) must not be above open_max_s (300)"),
        (
            "[breakers.parties.'site:blog']\nopen_max_s = 4\n",
            "breakers",
            "parties.site:blog: open_s (10) must not be above open_max_s (4)",
        ),
        (
            "[breakers.parties.'site:blgo']\nopen_s = 4\n",
            "breakers.parties.site:blgo",
            "there is no such outside party; there are: none, since no site is set",
        ),
        (
            "[browser]\nvisit_timeout_s = 46\n[posting]\nsettle_s = 60\n",
            "posting.settle_s = 60",
            "must be at least browser.visit_timeout_s + 15 s, that is 46 + 15 = 61: until then",
        ),
        ("[posting]\nstuck_s = 179\n", "posting.stuck_s = 179", "must be a number, at least 180"),
        (
            "[allocator]\ncapacity = 1\nhigh_guarantee = 0\nbackground_guarantee = 0\n",
            "allocator",
            "critical_guarantee (1) must be below capacity (1)",
        ),
        (
            "[jobs.reconciliation]\nenabled = false\n",
            "jobs.reconciliation.enabled = False",
            "must be true while posting is on",
        ),
        ("[content]\nfolder = '/srv/txets'\n", "content.folder = '/srv/txets'", "there is no such folder"),
        (
            "[database]\ndsn = 'mysql://u:p@h/d'\n",
            "database.dsn = (hidden)",
            "must have the form postgresql://",
        ),
    ],
)
def test_settings_that_can_not_work_are_refused_in_one_line_with_what_to_do(
    config: Path, text: str, line: str, words: str
) -> None:
    config.write_text(text)
    [said] = refusal(config=config)
    assert said.startswith(f"{line} (in {config}, line ")
    assert words in said


@pytest.mark.parametrize(
    "text",
    [
        "[clock]\nspeed = 240\nreal_epoch = 1e9\nshown_epoch = 1e9\n",
        "[jobs.reconciliation]\nenabled = false\n[jobs.posting]\nenabled = false\n",
        "[posting]\nsettle_s = 45\nstuck_s = 180\n",
        "[browser]\nvisit_timeout_s = 45\n",
        "[breakers]\nopen_s = 300\n",
        "[allocator]\ncapacity = 1\ncritical_guarantee = 0\nhigh_guarantee = 0\n",
        "[content]\nfolder = '/'\n",
    ],
)
def test_their_neighbours_that_can_work_are_accepted(config: Path, text: str) -> None:
    config.write_text(text)
    Settings.load(config, environ={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_content_folder_that_can_not_be_read_is_refused(config: Path) -> None:
    folder = config.with_name("texts")
    folder.mkdir(0o300)
    [line] = refusal(overrides={"content": {"folder": folder}})
    assert line.endswith("the folder can't be read; let the daemon's user read and enter it")


@pytest.mark.parametrize(
    "dsn",
    [
        "garbage",
        "host=db dbname=posts",
        "postgresql:/posts",
        f"postgresql://u:{CANARY}/x@host/posts",
        f"postgresql://u:{CANARY}#x@host/posts",
        f"postgresql://u:1/{CANARY}@host/posts",
        f"postgresql://u:1?{CANARY}@host/posts",
        f"postgresql://u:{CANARY}@host:54321x/posts",
        f"postgresql://u:{CANARY}@host:99999/posts",
        f"postgresql://u:{CANARY}@[::1/posts",
    ],
)
def test_what_is_no_address_of_postgresql_is_refused_without_its_password(dsn: str) -> None:
    [line] = refusal(environ={"ORCHESTRATOR_DATABASE__DSN": dsn})
    assert line == (
        "database.dsn = (hidden) (from ORCHESTRATOR_DATABASE__DSN): must have the form "
        "postgresql://user:password@host:5432/name, with special characters percent-encoded"
    )


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        (
            f"postgresql://u:{CANARY}@db.example.org:5433/posts?sslmode=require",
            "posts on db.example.org:5433",
        ),
        (f"postgres://u:{CANARY}@a:1,b:2/posts", "posts on a:1,b:2"),
        ("postgresql://u@/posts?host=/run/postgresql", "posts on /run/postgresql"),
        ("postgresql://[::1]:5432/posts", "posts on [::1]:5432"),
        ("postgresql://", "the default database on the default host"),
    ],
)
def test_an_address_of_postgresql_is_shown_without_its_password(dsn: str, shown: str) -> None:
    assert shown_address(dsn) == shown


def test_all_that_is_wrong_is_said_at_once(config: Path) -> None:
    config.write_text('[http]\nport = 70000\n[log]\nlevel = "loud"\n')
    lines = refusal(config=config, environ={"ORCHESTRATOR_NOPE": "1"})
    assert [line.split()[0] for line in lines] == ["nope", "http.port", "log.level"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[http\nport = 1\n", 1, "Expected ']'"),
        ("[http]\n\nport 1\n", 3, "Expected '='"),
        ("[http]\nport = 1\nport = 2\n", 3, "Cannot overwrite"),
        ('[http]\nhost = "a', 2, "Unterminated string"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(config: Path, text: str, line: int, words: str) -> None:
    config.write_text(text)
    [said] = refusal(config=config)
    assert said.startswith(f"{config}, line {line}: ")
    assert words in said


def test_a_file_that_is_missing_or_no_text_is_named(config: Path) -> None:
    assert refusal(config=config) == [f"{config}: the settings file can't be read: No such file or directory"]
    config.write_bytes(b"[http]\nhost = '\xff'\n")
    assert refusal(config=config) == [f"{config}: a settings file must be UTF-8, byte 15 is not"]


def test_a_list_in_a_variable_that_is_no_json_is_refused() -> None:
    [line] = refusal(environ={"ORCHESTRATOR_CONTROL__VIEW_GROUPS": "staff,wheel"})
    assert line.startswith("control.view_groups (from ORCHESTRATOR_CONTROL__VIEW_GROUPS): must be JSON")


def test_the_line_is_right_after_values_of_many_lines_and_in_repeated_tables(config: Path) -> None:
    config.write_text(
        '[content]\nbanned_words = [\n  "port",  # level = 1\n  "b",\n]\n'
        '[sites."demo"]\nprofile = """\ndemo"""\n'
        '[[accounts]]\nname = "ada"\nsite = "demo"\nusername = "ada"\npassword = "x"\n'
        '[[accounts]]\nname = "bob"\nsite = "demo"\nusername = "bob"\npassword = "x"\nposts_per_day = -1\n'
    )
    assert refusal(config=config) == [
        f"accounts.1.posts_per_day = -1 (in {config}, line 19): must be an integer from 0 to 10000"
    ]


def test_the_line_of_dotted_keys_and_inline_tables_is_right(config: Path) -> None:
    config.write_text("state_dir = '/x'\nhttp.port = -1\njobs = { plan = { every_s = 0 } }\n")
    assert [line.partition(":")[0] for line in refusal(config=config)] == [
        f"http.port = -1 (in {config}, line 2)",
        f"jobs.plan.every_s = 0 (in {config}, line 3)",
    ]


# ── accounts ────────────────────────────────────────────────────────────────────────────────────


def test_an_account_of_an_unknown_site_is_refused_with_the_known_ones() -> None:
    accounts = [{**ACCOUNT, "site": "demmo"}]
    assert refusal(defaults={**BUILT_IN, "accounts": accounts}) == [
        "accounts.0.site = 'demmo' (built in): must be one of the sites: demo"
    ]


def test_two_accounts_of_one_name_are_refused() -> None:
    assert refusal(defaults={**BUILT_IN, "accounts": [ACCOUNT, ACCOUNT]}) == [
        "accounts.1.name = 'ada' (built in): another account has this name"
    ]


def test_a_time_zone_that_does_not_exist_is_refused_with_the_nearest() -> None:
    accounts = [{**ACCOUNT, "time_zone": "Europe/Berln"}]
    [line] = refusal(defaults={**BUILT_IN, "accounts": accounts})
    assert line.endswith("must be the IANA name of a time zone; did you mean Europe/Berlin?")


@pytest.mark.parametrize("name", ["../etc/passwd", "", "/etc/localtime", "Europe", "a\0b"])
def test_a_time_zone_that_is_no_name_is_refused(name: str) -> None:
    [line] = refusal(defaults={**BUILT_IN, "accounts": [{**ACCOUNT, "time_zone": name}]})
    assert line.startswith("accounts.0.time_zone")


@pytest.mark.parametrize("passwords", [{}, {"password": "x", "password_file": "y"}])
def test_an_account_has_one_password(passwords: dict[str, str]) -> None:
    account = {key: value for key, value in ACCOUNT.items() if key != "password"} | passwords
    [line] = refusal(defaults={**BUILT_IN, "accounts": [account]})
    assert line == "accounts.0 (built in): give exactly one of password and password_file"


def account_with_file(path: Path) -> AccountSettings:
    return AccountSettings(name="ada", site="demo", username="ada", password_file=path)


def test_a_password_file_gives_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{CANARY}\r\nmore\n")
    assert account_with_file(tmp_path / "secret").read_password({}).get_secret_value() == CANARY


def test_a_relative_password_file_is_a_systemd_credential_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "both").write_text("credential")
    for name in ("both", "here"):
        (tmp_path / name).write_text("working directory")
    monkeypatch.chdir(tmp_path)
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    found = [account_with_file(Path(name)).read_password(environ) for name in ("both", "here")]
    assert [secret.get_secret_value() for secret in found] == ["credential", "working directory"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "can't be read: No such file or directory"), (b"\n", "is empty"), (b"\xff", "is not UTF-8 text")],
)
def test_a_password_file_that_gives_none_is_refused(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        account_with_file(file).read_password({})
    assert str(caught.value) == f"account ada: password_file: {file} {reason}"


# ── secrets and the listing ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sources",
    [
        {"defaults": {"database": {"dsn": [CANARY]}}},
        {"defaults": {"database": {"dns": CANARY}}},
        {"defaults": {"database": CANARY}},
        {"defaults": {**BUILT_IN, "accounts": [{**ACCOUNT, "password_file": "x"}]}},
        {"defaults": {**BUILT_IN, "accounts": [{**ACCOUNT, "pasword": CANARY, "posts_per_day": "x"}]}},
        {"environ": {"ORCHESTRATOR_DATABASE_DSN": CANARY}},
        {"environ": {"ORCHESTRATOR_ACCOUNTS": f'[{{"password": "{CANARY}"'}},
        {"environ": {"ORCHESTRATOR_ACCOUNTS": f'{{"password": "{CANARY}"}}'}},
    ],
    ids=["wrong type", "misspelt", "no table", "two", "in a list", "variable", "broken json", "wrong json"],
)
def test_a_secret_is_in_no_refusal(sources: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**{"environ": {}, **sources})
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_is_not_in_the_settings_as_text() -> None:
    settings = Settings.load(
        environ={"ORCHESTRATOR_DATABASE__DSN": f"postgresql://u:{CANARY}@h/d"}, defaults=BUILT_IN
    )
    assert CANARY not in f"{settings!r} {settings} {settings.model_dump_json()} {describe(settings)}"


def test_where_alerts_go_is_a_secret_in_the_settings_or_a_file(config: Path, tmp_path: Path) -> None:
    (tmp_path / "pager.url").write_text(f"json://{CANARY}-2/\n")
    config.write_text(
        f"[alerts.destinations.ops]\nurl = 'json://{CANARY}-1/'\n"
        "[alerts.destinations.pager]\nurl_file = 'pager.url'\nseverity = 'critical'\n"
    )
    settings = Settings.load(config, environ={})
    assert CANARY not in f"{settings!r} {settings} {settings.model_dump_json()} {describe(settings)}"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    urls = [settings.alerts.read_url(name, environ).get_secret_value() for name in ("ops", "pager")]
    assert urls == [f"json://{CANARY}-1/", f"json://{CANARY}-2/"]
    with pytest.raises(SettingsError, match=r"alerts.destinations.pager: url_file: pager.url can't be read"):
        settings.secrets()


def test_the_log_is_told_where_alerts_go() -> None:
    settings = Settings.load(
        overrides={"alerts": {"destinations": {"ops": {"url": f"json://{CANARY}"}}}}, environ={}
    )
    assert [secret.get_secret_value() for secret in settings.secrets()] == [f"json://{CANARY}"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("ops]\n", "give exactly one of url and url_file"),
        (f"ops]\nurl = 'json://{CANARY}'\nurl_file = 'x'\n", "give exactly one of url and url_file"),
        (f"'a b']\nurl = 'json://{CANARY}'\n", "a name has 1 to 32 letters, digits, - and _"),
        (f"ops]\nurl = 'json://{CANARY}'\nseverity = 'info'\n", "critical"),
    ],
)
def test_a_destination_that_can_not_work_is_refused_without_its_address(
    config: Path, table: str, words: str
) -> None:
    config.write_text(f"[alerts.destinations.{table}")
    [said] = refusal(config=config)
    assert words in said
    assert CANARY not in said


def test_a_destination_has_a_breaker_of_its_own(config: Path) -> None:
    config.write_text(
        "[alerts.destinations.ops]\nurl = 'json://host'\n[breakers.parties.'alerts:ops']\nopen_s = 60\n"
    )
    assert Settings.load(config, environ={}).breakers.of("alerts:ops").open_s == 60


def test_the_listing_says_every_setting_with_value_and_source(config: Path) -> None:
    config.write_text("[http]\nport = 1\n[jobs.plan]\nenabled = false\n")
    environ = {"ORCHESTRATOR_DATABASE__DSN": "postgresql:///x"}
    rows = {
        row.name: (row.value, row.source)
        for row in describe(Settings.load(config, environ=environ, defaults=BUILT_IN))
    }
    assert rows["http.port"] == ("1", f"in {config}, line 2")
    assert rows["jobs.plan.enabled"] == ("false", f"in {config}, line 4")
    assert rows["database.dsn"] == ("(hidden)", "from ORCHESTRATOR_DATABASE__DSN")
    assert rows["accounts.0.name"] == ("ada", "built in")
    assert rows["browser.executable"] == ("not set", "default")
    assert rows["control.view_groups"] == ("none", "default")
    assert rows["log.level"] == ("info", "default")


def test_every_setting_with_one_name_can_be_set_by_its_variable() -> None:
    names = variable_names()
    assert "ORCHESTRATOR_ALLOCATOR__CAPACITY" in names
    assert len(names) == len(set(names))
    assert variable_names(LogSettings)[0] == "ORCHESTRATOR_LEVEL"
