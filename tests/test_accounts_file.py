"""Accounts from a file of their own: what is read, what is refused, and where it is said to stand."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings, describe

SITES = {"sites": {"demo": {"profile": "demo"}}}
FIRST = {"name": "first", "site": "demo", "username": "first", "password": "canary-1"}
HEAD = "name,site,username,password,time_zone,posts_per_day\n"


def load(file: Path, text: str, **settings: Any) -> Settings:
    file.write_text(text)
    return Settings.load(defaults=SITES | {"accounts_file": str(file)} | settings, environ={})


def refusal(file: Path, text: str, **settings: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(file, text, **settings)
    return str(caught.value).splitlines()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "accounts.csv"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "accounts.toml"


def test_accounts_of_a_table_follow_those_of_the_settings(table: Path) -> None:
    text = HEAD + "ada,demo,ada,canary-2,Europe/Berlin,6\n\n  bob , demo,bob,canary-3,,\n"
    settings = load(table, text, accounts=[FIRST])
    assert [one.name for one in settings.accounts] == ["first", "ada", "bob"]
    assert [one.posts_per_day for one in settings.accounts] == [24, 6, 24]
    assert [one.time_zone for one in settings.accounts] == ["UTC", "Europe/Berlin", "UTC"]
    assert {one.get_secret_value() for one in settings.secrets()} == {"canary-1", "canary-2", "canary-3"}


def test_accounts_of_a_document_are_the_same(document: Path) -> None:
    text = '[[accounts]]\nname = "ada"\nsite = "demo"\nusername = "ada"\npassword = "x"\nposts_per_day = 6\n'
    settings = load(document, text, accounts=[FIRST])
    assert [(one.name, one.posts_per_day) for one in settings.accounts] == [("first", 24), ("ada", 6)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "ada,demo,ada,x,Europe/Berlyn,6",
            "accounts.1.time_zone = 'Europe/Berlyn' (in {file}, line 4): must be",
        ),
        (
            "ada,demo,ada,x,UTC,many",
            "accounts.1.posts_per_day = 'many' (in {file}, line 4): must be an integer",
        ),
        ("ada,demo,ada,,UTC,6", "accounts.1 (in {file}, line 4): give exactly one of password"),
        (
            "ada,nowhere,ada,x,UTC,6",
            "accounts.1.site = 'nowhere' (in {file}, line 4): must be one of the sites",
        ),
        ("first,demo,ada,x,UTC,6", "accounts.1.name = 'first' (in {file}, line 4): another account has this"),
        ("ada,demo,,x,UTC,6", "accounts.1.username (in {file}, line 4): is missing"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_line(table: Path, row: str, said: str) -> None:
    [line] = refusal(table, f"{HEAD}\n\n{row}\n", accounts=[FIRST])
    assert line.startswith(said.replace("{file}", str(table)))


def test_what_is_wrong_in_a_document_is_said_with_its_line(document: Path) -> None:
    text = '# people\n[[accounts]]\nname = "ada"\nsite = "nowhere"\nusername = "ada"\npassword = "x"\n'
    [line] = refusal(document, text, accounts=[FIRST])
    assert line.startswith(f"accounts.1.site = 'nowhere' (in {document}, line 4): must be one of the sites")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,sight\n", "line 1: there is no setting 'sight'; there are: name, site, "),
        ("name,site,name\n", "line 1: name is there twice"),
        (HEAD + "ada,demo\n", "line 2: 2 values for 6 names"),
        (HEAD + 'ada,"demo\n', "line 2: unexpected end of data"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(table: Path, text: str, said: str) -> None:
    [line] = refusal(table, text)
    assert line.startswith(f"{table}, {said}")


def test_a_document_with_other_settings_is_refused(document: Path) -> None:
    [line] = refusal(document, "[http]\nport = 1\n")
    assert line == f"http (in {document}, line 1): this file holds [[accounts]] alone"


@pytest.mark.parametrize("name", ["accounts.csv", "accounts.toml"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: the .*file .*can't be read: No such file"):
        Settings.load(defaults={"accounts_file": str(tmp_path / name)}, environ={})


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"accounts\.json: a file with accounts ends in \.csv or \.toml"):
        Settings.load(defaults={"accounts_file": str(tmp_path / "accounts.json")}, environ={})


def test_where_each_value_came_from_is_told_and_passwords_are_not(table: Path) -> None:
    settings = load(table, HEAD + "ada,demo,ada,canary-2,UTC,6\n")
    told = {row.name: (row.value, row.source) for row in describe(settings)}
    assert told["accounts.0.posts_per_day"] == ("6", f"in {table}, line 2")
    assert "canary" not in str(told)
