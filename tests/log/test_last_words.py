"""Errors that nobody caught go the log's way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-of-a-crash"
PROGRAM = """
import sys, threading
from pathlib import Path
from pydantic import SecretStr
from orchestrator.log import configure
from orchestrator.settings import LogSettings

SECRET = sys.argv[4]

class Bad:
    def __del__(self):
        raise ValueError("ignored: " + SECRET)

stream = sys.stderr if sys.argv[1] == "seen" else open("/dev/null", "w")
settings = LogSettings(format=sys.argv[2], file=Path(sys.argv[3]))
configure(settings, stream, secrets=[SecretStr(SECRET)], environ={})
Bad()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
try:
    raise OSError("cause: " + SECRET)
except OSError as error:
    raise RuntimeError("crashed: " + SECRET) from error
"""


@pytest.mark.parametrize(("where", "form"), [("seen", "console"), ("seen", "json"), ("unseen", "json")])
def test_a_crash_is_logged_and_shown_once_without_its_secrets(where: str, form: str, tmp_path: Path) -> None:
    arguments = [where, form, str(tmp_path / "log"), CANARY]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(event["event"], event["level"]) for event in logged] == [
        ("error_ignored", "critical"),
        ("thread_crashed", "critical"),
        ("crashed", "critical"),
    ]
    assert logged[-1]["exception"][0]["exc_value"] == "crashed: (hidden)"
    assert CANARY not in ended.stderr + (tmp_path / "log").read_text()
    for said in ("ignored: (hidden)", "ZeroDivisionError", "cause: (hidden)", "crashed: (hidden)"):
        assert ended.stderr.count(said) == 1, said
