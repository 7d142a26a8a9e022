"""Events in the journal: fields that `journalctl` can be asked for, over a real datagram socket."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog
from pydantic import SecretStr

from orchestrator.log import configure
from orchestrator.settings import LogSettings

CANARY = "canary-of-the-journal"
MUCH = 1_000_000
"""Characters: more than any socket takes at once."""

Fields = dict[str, str]


class Journal:
    """Reads as the journal does: https://systemd.io/JOURNAL_NATIVE_PROTOCOL."""

    def __init__(self, place: Path) -> None:
        self.path = place / "socket"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self.path))
        self.stream = (place / "stderr").open("w+")

    def read(self) -> list[Fields]:
        found = []
        while True:
            try:
                found.append(parsed(self._socket.recv(1 << 20)))
            except BlockingIOError:
                return found

    def lines(self) -> str:
        self.stream.seek(0)
        return self.stream.read()

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


def parsed(data: bytes) -> Fields:
    found = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, is_short, value = line.partition(b"=")
        if not is_short:
            size = int.from_bytes(data[:8], "little")
            value, end, data = data[8 : 8 + size], data[8 + size : 9 + size], data[9 + size :]
            assert end == b"\n"
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()
    journal.stream.close()


def environ_of(stream: TextIO) -> dict[str, str]:
    """As systemd sets it for a service whose standard error is the journal."""
    status = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def begin(journal: Journal, **settings: Any) -> None:
    configure(
        LogSettings(**settings),
        journal.stream,
        secrets=[SecretStr(CANARY)],
        environ=environ_of(journal.stream),
        journal_socket=journal.path,
    )


def test_an_event_has_its_level_and_all_that_it_says_as_fields_and_a_line_for_people(
    journal: Journal,
) -> None:
    begin(journal)
    with structlog.contextvars.bound_contextvars(job="posting", run=17, lease=4):
        structlog.get_logger("jobs").warning("run_failed", error="it hangs", **{"slow-s": 1.5, "none": None})
    [fields] = journal.read()
    message = fields.pop("MESSAGE")
    assert fields == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "orchestrator",
        "ORCHESTRATOR_EVENT": "run_failed",
        "ORCHESTRATOR_LOGGER": "jobs",
        "ORCHESTRATOR_JOB": "posting",
        "ORCHESTRATOR_RUN": "17",
        "ORCHESTRATOR_LEASE": "4",
        "ORCHESTRATOR_ERROR": "it hangs",
        "ORCHESTRATOR_SLOW_S": "1.5",
    }
    assert message.startswith("run_failed")
    assert all(word in message for word in ("[jobs]", "job=posting", "run=17", "lease=4", "error='it hangs'"))
    assert "\x1b" not in message
    assert journal.lines() == ""


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_each_level_has_its_priority(journal: Journal, level: str, priority: str) -> None:
    begin(journal, level="debug")
    getattr(structlog.get_logger("x"), level)("ours")
    getattr(logging.getLogger("library"), level)("theirs")
    assert [(one["PRIORITY"], one["ORCHESTRATOR_EVENT"]) for one in journal.read()] == [
        (priority, "ours"),
        (priority, "theirs"),
    ]


def test_a_traceback_is_part_of_the_message_on_lines_of_its_own(journal: Journal) -> None:
    begin(journal)
    try:
        raise ValueError(f"with {CANARY}")
    except ValueError:
        structlog.get_logger("x").exception("job_crashed", values={"of": [1, True]}, text="a\nb ü")
    [fields] = journal.read()
    assert fields["MESSAGE"].splitlines()[-1] == "ValueError: with (hidden)"
    assert fields["MESSAGE"].splitlines()[0].startswith("job_crashed")
    assert fields["ORCHESTRATOR_VALUES"] == '{"of": [1, true]}'
    assert fields["ORCHESTRATOR_TEXT"] == "a\\x0ab ü"
    assert not [name for name in fields if "EXC" in name]
    assert CANARY not in str(fields)


def test_json_can_be_had_as_the_message_too(journal: Journal) -> None:
    begin(journal, format="json")
    structlog.get_logger("x").info("ready", after_s=1.2, said="a\nb")
    [fields] = journal.read()
    assert fields["MESSAGE"] == '{"logger": "x", "event": "ready", "after_s": 1.2, "said": "a\\nb"}'
    assert fields["ORCHESTRATOR_SAID"] == "a\nb"


def test_what_the_journal_does_not_take_is_a_line_with_its_level_on_standard_error(journal: Journal) -> None:
    begin(journal)
    structlog.get_logger("x").error("large", text="x" * MUCH)
    journal.close()
    structlog.get_logger("x").info("away")
    large, away = journal.lines().splitlines()
    assert large.startswith('<3>{"level": "error", "logger": "x", "event": "large"')
    assert len(large) > MUCH
    assert away == '<6>{"level": "info", "logger": "x", "event": "away"}'
