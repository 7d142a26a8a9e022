"""Logging: one way for all events, two renderers, and no secret in either."""

import io
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from orchestrator.errors import SettingsError
from orchestrator.log import KeptLog, configure, unconfigure
from orchestrator.settings import LogSettings

CANARY = "canary-7f3a9"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def log_of(name: str) -> Any:
    return structlog.get_logger(name)


# ── what is rendered, and where ─────────────────────────────────────────────────────────────────


def test_an_event_is_one_json_line_with_time_level_logger_and_name_first(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    log_of("pool").info("context_made", slot=1, path=Path("/x"))
    [event] = events(stream)
    assert list(event)[:4] == ["timestamp", "level", "logger", "event"]
    assert (event["level"], event["logger"], event["event"]) == ("info", "pool", "context_made")
    assert (event["slot"], event["path"]) == (1, "/x")
    assert event["timestamp"].endswith("Z")


def test_an_event_of_the_standard_library_looks_the_same(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    logging.getLogger("hypercorn.error").warning("bound to %s", "port 1", extra={"lane": "high"})
    [event] = events(stream)
    assert (event["level"], event["logger"], event["event"]) == (
        "warning",
        "hypercorn.error",
        "bound to port 1",
    )
    assert event["lane"] == "high"


def test_warnings_of_python_are_events(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    [event] = events(stream)
    assert (event["level"], event["logger"]) == ("warning", "py.warnings")
    assert "old way" in event["event"]


def test_bound_context_is_in_every_event(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    with structlog.contextvars.bound_contextvars(job="plan", run=7):
        log_of("actor").info("started")
    assert [(event["job"], event["run"]) for event in events(stream)] == [("plan", 7)]


@pytest.mark.parametrize("write", [lambda: log_of("x").info("no"), lambda: logging.getLogger("x").info("no")])
def test_what_is_below_the_level_is_not_written(stream: io.StringIO, write: Any) -> None:
    configure(LogSettings(level="warning"), stream, environ={})
    write()
    assert stream.getvalue() == ""


def test_a_terminal_gets_coloured_lines_and_anything_else_json(stream: io.StringIO) -> None:
    terminal = Terminal()
    configure(LogSettings(), terminal, environ={})
    log_of("pool").info("context_made", slot=1)
    assert "\x1b[" in terminal.getvalue()
    assert "context_made" in terminal.getvalue()
    configure(LogSettings(), stream, environ={})
    log_of("pool").info("context_made", slot=1)
    assert events(stream)[0]["slot"] == 1


def test_no_color_is_respected() -> None:
    terminal = Terminal()
    configure(LogSettings(), terminal, environ={"NO_COLOR": "1"})
    log_of("pool").info("context_made", slot=1)
    assert "\x1b" not in terminal.getvalue()


def test_the_format_can_be_forced_either_way(stream: io.StringIO) -> None:
    terminal = Terminal()
    configure(LogSettings(format="json"), terminal, environ={})
    log_of("x").info("a")
    assert events(terminal)[0]["event"] == "a"
    configure(LogSettings(format="console"), stream, environ={})
    log_of("x").info("b")
    assert stream.getvalue().rstrip().endswith("b [x]")


def test_without_the_journals_socket_its_lines_have_no_second_timestamp_but_the_level_as_a_prefix(
    tmp_path: Path,
) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        configure(LogSettings(), journal, environ=environ, journal_socket=tmp_path / "nothing")
        log_of("x").error("broken")
        journal.seek(0)
        line = journal.read()
    assert line.startswith("<3>{")
    assert "timestamp" not in json.loads(line[3:])


def test_a_file_that_only_looks_like_the_journal_gets_timestamps(tmp_path: Path) -> None:
    with (tmp_path / "other").open("w+") as file:
        configure(LogSettings(), file, environ={"JOURNAL_STREAM": "1:2"})
        log_of("x").error("broken")
        file.seek(0)
        assert "timestamp" in json.loads(file.read())


def test_an_exception_is_one_structured_field(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    try:
        raise ExceptionGroup("two", [ValueError("inner")])
    except ExceptionGroup:
        log_of("x").exception("failed")
    [event] = events(stream)
    [error] = event["exception"]
    assert (error["exc_type"], error["is_group"]) == ("ExceptionGroup", True)
    assert error["exceptions"][0][0]["exc_value"] == "inner"
    assert error["frames"][-1]["name"] == "test_an_exception_is_one_structured_field"
    assert "locals" not in error["frames"][-1]


def test_figures_that_json_does_not_know_become_text(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    log_of("x").info("figures", share=float("nan"), of={"all": float("inf")}, kinds={1})
    event = events(stream)[0]
    assert (event["share"], event["of"], event["kinds"]) == ("nan", {"all": "inf"}, [1])


def test_a_structure_without_end_is_cut(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    endless: list[Any] = []
    endless.append(endless)
    log_of("x").info("deep", value=endless)
    assert "…" in json.dumps(events(stream)[0]["value"], ensure_ascii=False)


def test_a_secret_that_became_known_stays_hidden_when_the_log_is_set_up_anew(stream: io.StringIO) -> None:
    kept = KeptLog(stream)
    kept.configure(LogSettings(format="json"), [])
    kept.hide(SecretStr(f"{CANARY}-of-later"))
    kept.configure(LogSettings(format="json", level="debug"), [SecretStr(f"{CANARY}-of-settings")])
    log_of("x").debug("said", what=f"{CANARY}-of-later {CANARY}-of-settings")
    assert "said" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_the_same_secrets_read_again_are_kept_once(stream: io.StringIO) -> None:
    kept = KeptLog(stream)
    for _ in range(3):
        kept.configure(LogSettings(), [SecretStr("of the settings"), SecretStr("of them too")])
        kept.hide(SecretStr("of the table"))
    assert [secret.get_secret_value() for secret in kept.secrets] == [
        "of the settings",
        "of them too",
        "of the table",
    ]


def test_text_from_outside_cannot_draw_on_the_terminal(stream: io.StringIO) -> None:
    configure(LogSettings(format="console"), stream, environ={})
    log_of("x").info("said", text="\x1b[31mred\nsecond line\x9b")
    try:
        raise ValueError("\x1b[31mred")
    except ValueError:
        logging.getLogger("x").exception("failed")
    written = stream.getvalue()
    assert "\x1b" not in written
    assert "\x9b" not in written
    assert "second line" in written.splitlines()[0]


# ── the file ────────────────────────────────────────────────────────────────────────────────────


def test_the_file_gets_json_with_timestamps_next_to_a_terminal(tmp_path: Path) -> None:
    terminal = Terminal()
    configure(LogSettings(file=tmp_path / "log"), terminal, environ={})
    log_of("x").info("both", text="ümlaut \udcff")
    assert "both" in terminal.getvalue()
    event = json.loads((tmp_path / "log").read_text())
    assert event["event"] == "both"
    assert "timestamp" in event


def test_a_full_file_is_put_aside_and_only_so_many_are_kept(tmp_path: Path) -> None:
    settings = LogSettings(file=tmp_path / "log", file_max_bytes=10_000, file_backups=2)
    configure(settings, io.StringIO(), environ={})
    for number in range(60):
        log_of("x").info("event", number=number, text="x" * 1000)
    unconfigure()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    assert all(file.stat().st_size <= 10_000 for file in files)
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert last["number"] == 59


def test_a_file_that_cannot_be_written_is_named_and_changes_nothing(
    tmp_path: Path, stream: io.StringIO
) -> None:
    configure(LogSettings(), stream, environ={})
    with pytest.raises(SettingsError, match=r"^log\.file = '.*/missing/log': can't be written: No such file"):
        configure(LogSettings(file=tmp_path / "missing" / "log"), io.StringIO(), environ={})
    log_of("x").info("still here")
    assert events(stream)[0]["event"] == "still here"


def test_set_up_twice_writes_each_event_once(stream: io.StringIO) -> None:
    first = io.StringIO()
    configure(LogSettings(), first, environ={})
    configure(LogSettings(), stream, environ={})
    log_of("x").info("once")
    assert len(events(stream)) == 1
    assert first.getvalue() == ""


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────


def leak_by_key() -> None:
    log_of("x").info("signed_in", password=CANARY, headers={"Cookie": CANARY}, items=[{"api_key": CANARY}])


def leak_by_type() -> None:
    log_of("x").info("signed_in", value=SecretStr(CANARY), values=[SecretStr(CANARY)])


def leak_by_url() -> None:
    log_of("x").info("connected", server=f"postgresql://user:{CANARY}@host/name")


def leak_by_text() -> None:
    log_of("x").info(
        f"fill({CANARY!r})", step=f"fill {CANARY}", error=ValueError(CANARY), raw=CANARY.encode()
    )


def leak_by_name_of_a_key() -> None:
    log_of("x").info("seen", values={CANARY: 1})


def leak_by_exception() -> None:
    try:
        try:
            raise ValueError(f"fill({CANARY!r})")
        except ValueError as error:
            error.add_note(CANARY)
            raise ExceptionGroup(CANARY, [KeyError(CANARY)]) from error
    except ExceptionGroup:
        log_of("x").exception("failed")


def leak_by_local_variable() -> None:
    hidden_here = CANARY
    try:
        raise ValueError(str(len(hidden_here)))
    except ValueError:
        log_of("x").exception("failed")


def leak_by_standard_library() -> None:
    logging.getLogger("lib").warning("password is %s", CANARY, extra={"token": CANARY})
    try:
        raise OSError(CANARY)
    except OSError:
        logging.getLogger("lib").exception("failed")


def leak_by_context() -> None:
    with structlog.contextvars.bound_contextvars(session_token=CANARY):
        log_of("x").info("bound")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "leak",
    [
        leak_by_key,
        leak_by_type,
        leak_by_url,
        leak_by_text,
        leak_by_name_of_a_key,
        leak_by_exception,
        leak_by_local_variable,
        leak_by_standard_library,
        leak_by_context,
    ],
)
def test_a_secret_is_never_written(form: Any, leak: Any, stream: io.StringIO, tmp_path: Path) -> None:
    settings = LogSettings(format=form, file=tmp_path / "log")
    configure(settings, stream, secrets=[SecretStr(CANARY)], environ={})
    leak()
    unconfigure()
    written = stream.getvalue() + (tmp_path / "log").read_text()
    assert written.count("\n") >= 2
    assert CANARY not in written


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on(stream: io.StringIO) -> None:
    redactor = configure(LogSettings(), stream, environ={})
    redactor.hide(SecretStr(CANARY))
    log_of("x").info("text", text=f"<{CANARY}>")
    assert events(stream)[0]["text"] == "<(hidden)>"


AWKWARD = "pa'ss\\w\"örd\n"


@pytest.mark.parametrize(
    "spelled",
    [
        AWKWARD,
        json.dumps({"value": AWKWARD}),
        json.dumps({"value": AWKWARD}, ensure_ascii=False),
        repr([AWKWARD]),
        repr(AWKWARD.encode()),
        repr("quote ' and \" " + AWKWARD),
    ],
)
def test_a_secret_is_hidden_as_json_and_python_spell_it_too(stream: io.StringIO, spelled: str) -> None:
    configure(LogSettings(), stream, secrets=[SecretStr(AWKWARD)], environ={})
    log_of("x").info("text", text=spelled)
    text = events(stream)[0]["text"]
    assert "(hidden)" in text
    assert "ss" not in text


def test_a_secret_that_is_part_of_another_does_not_leave_its_rest(stream: io.StringIO) -> None:
    for secrets in ([CANARY, f"{CANARY}-rest"], [f"{CANARY}-rest", CANARY]):
        configure(LogSettings(), stream, secrets=map(SecretStr, secrets), environ={})
        log_of("x").info("text", text=f"<{CANARY}-rest>")
    assert [event["text"] for event in events(stream)] == ["<(hidden)>"] * 2


def test_addresses_are_written_without_their_queries(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    log_of("x").info("seen at 'http://a.test/b?token=1#part', twice", url="https://a.test/?q")
    event = events(stream)[0]
    assert (event["event"], event["url"]) == ("seen at 'http://a.test/b', twice", "https://a.test/")


def test_a_very_short_secret_does_not_blot_out_everything(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, secrets=[SecretStr("e"), SecretStr("")], environ={})
    log_of("x").info("event", text="every letter")
    assert events(stream)[0]["text"] == "every letter"


def test_counts_under_a_name_of_secrets_are_shown(stream: io.StringIO) -> None:
    configure(LogSettings(), stream, environ={})
    log_of("x").info("spent", tokens=12, has_token=True, password=None)
    event = events(stream)[0]
    assert (event["tokens"], event["has_token"], event["password"]) == (12, True, None)
