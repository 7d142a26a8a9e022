"""What the redactor takes out, and what it leaves."""

import json
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretBytes, SecretStr

from orchestrator.log.redactor import HIDDEN, MAX_DEPTH, MIN_SECRET_CHARS, Redactor

CANARY = "canary 'of\\ \"öd\n&/@%"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.hide(SecretStr(CANARY))
    return redactor


def cleaned(redactor: Redactor, **event: Any) -> dict[str, Any]:
    return dict(redactor(None, "info", dict(event)))


@pytest.mark.parametrize(
    "spelled",
    [
        CANARY,
        quote(CANARY, safe=""),
        json.dumps(CANARY)[1:-1],
        json.dumps(CANARY, ensure_ascii=False)[1:-1],
        repr(CANARY)[1:-1],
        repr(f"'\"{CANARY}")[4:-1],
        repr(CANARY.encode())[2:-1],
    ],
    ids=["as it is", "in an address", "json", "json as utf-8", "repr", "repr beside both quotes", "bytes"],
)
def test_a_secret_is_taken_out_of_texts_however_it_is_spelled(redactor: Redactor, spelled: str) -> None:
    assert redactor.clean(f"before {spelled} after") == f"before {HIDDEN} after"
    assert cleaned(redactor, text=spelled, path=Path("/x"), many=[spelled], within={"a": (spelled,)}) == {
        "text": HIDDEN,
        "path": "/x",
        "many": [HIDDEN],
        "within": {"a": [HIDDEN]},
    }


def test_what_is_hidden_in_objects_and_names_of_keys_is_found(redactor: Redactor) -> None:
    found = cleaned(redactor, error=ValueError(CANARY), values={CANARY: 1}, kinds={CANARY})
    assert found == {
        "error": f'ValueError("{HIDDEN}")'.replace('"', "'"),
        "values": {HIDDEN: 1},
        "kinds": [HIDDEN],
    }


@pytest.mark.parametrize("value", [SecretStr("unknown"), SecretBytes(b"unknown"), "unknown", ["unknown"]])
@pytest.mark.parametrize(
    "key", ["password", "API_KEY", "set-cookie", "Authorization", "dsn", "session_token"]
)
def test_what_stands_under_the_name_of_a_secret_is_hidden_unseen(key: str, value: Any) -> None:
    assert cleaned(Redactor(), **{key: value}) == {key: HIDDEN}


def test_a_secret_type_is_hidden_under_any_name() -> None:
    assert cleaned(Redactor(), a=SecretStr("unknown"), b=[SecretBytes(b"unknown")]) == {
        "a": HIDDEN,
        "b": [HIDDEN],
    }


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("at postgresql://me:unknown@host/name", f"at postgresql://me:{HIDDEN}@host/name"),
        ("at https://host/path?token=unknown#part, twice", "at https://host/path, twice"),
        ("nothing to hide at 12:30 by me@host", "nothing to hide at 12:30 by me@host"),
    ],
)
def test_addresses_lose_passwords_and_queries_that_nobody_told_of(text: str, left: str) -> None:
    assert Redactor().clean(text) == left


def test_a_secret_within_another_does_not_leave_the_rest_of_it() -> None:
    for secrets in (["inner", "outer inner outer"], ["outer inner outer", "inner"]):
        redactor = Redactor()
        for secret in secrets:
            redactor.hide(secret)
        assert redactor.clean("<outer inner outer> <inner>") == f"<{HIDDEN}> <{HIDDEN}>"


def test_short_secrets_figures_and_dates_stay() -> None:
    redactor = Redactor()
    redactor.hide("x" * (MIN_SECRET_CHARS - 1))
    redactor.hide("2026")
    event = {"text": "xxx", "count": 2026, "is_on": True, "none": None, "share": float("inf")}
    assert cleaned(redactor, **event, day=date(2025, 1, 1)) == {**event, "share": "inf", "day": "2025-01-01"}


def test_what_has_no_end_is_cut() -> None:
    endless: list[Any] = []
    endless.append(endless)
    found = json.dumps(cleaned(Redactor(), value=endless), ensure_ascii=False)
    assert found == f'{{"value": {"[" * MAX_DEPTH}"…"{"]" * MAX_DEPTH}}}'
