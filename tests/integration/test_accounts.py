"""The real program: accounts come and go while it runs, and what it keeps of them is encrypted."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.integration.daemon import PATIENCE_S, SETTLE_S, Daemon, running, wait_until

pytestmark = pytest.mark.timeout(600)

CANARY, WRONG = "canary-of-the-newcomer", "canary-that-is-wrong"


async def ctl(daemon: Daemon, *words: str, given: str = "") -> tuple[int, str]:
    """`orchestrator ctl accounts …` with something on its standard input; its exit code and what it says."""
    command = [sys.executable, "-m", "orchestrator", "ctl", "accounts", *words]
    socket = ["--socket", str(daemon.state_dir / "control.sock")]
    with trio.fail_after(PATIENCE_S):
        ended = await trio.run_process(
            [*command, *socket], stdin=given.encode(), capture_stdout=True, capture_stderr=True, check=False
        )
    return ended.returncode, (ended.stdout + ended.stderr).decode()


async def row(daemon: Daemon, name: str) -> dict[str, object]:
    [found] = (await daemon.ask("accounts", account=name))["accounts"]
    return dict(found)


async def test_an_account_is_added_signed_in_kept_over_a_kill_and_removed_and_its_password_is_seen_nowhere(
    state_dir: Path,
) -> None:
    # The site knows one account more than the daemon's settings.
    (state_dir / "accounts.json").write_text(json.dumps([{"name": "newcomer", "password": CANARY}]))
    environment = {"ORCHESTRATOR_LOG__LEVEL": "debug"}
    async with running(state_dir, environment=environment) as daemon:
        await daemon.wait_for_mode("ready")
        code, said = await ctl(daemon, "add", "newcomer", "--site", "murmur", given=f"{CANARY}\n")
        assert (code, said.split(";")[0]) == (0, "Account newcomer is added, and is signed in next")
        code, said = await ctl(
            daemon, "add", "stranger", "--site", "murmur", "--username", "newcomer", given=f"{WRONG}\n"
        )
        assert code == 0, said

        async def is_over() -> bool:
            newcomer, stranger = await row(daemon, "newcomer"), await row(daemon, "stranger")
            return newcomer["signed_in_at"] is not None and stranger["condition"] == "refused"

        await wait_until(is_over, "one is signed in and one refused", daemon.said, patience_s=120)
        code, said = await ctl(daemon, "--watch")
        assert (code, "can't be: stranger" in said) == (1, True), said
        # A post that is under way at the kill would have to be settled, which takes two looks at the site.
        await daemon.ask("pause", job="posting")

        async def is_paused() -> bool:
            return bool((await daemon.job("posting"))["state"] == "paused")

        await wait_until(is_paused, "nothing is being posted", daemon.said)
        daemon.signal(signal.SIGKILL)
        await daemon.ended()
    async with running(state_dir, environment=environment) as daemon:
        await daemon.wait_for_mode("ready")
        await daemon.ask("resume", job="posting")

        async def has_published() -> bool:
            found = await daemon.query(
                "SELECT id FROM posts WHERE account = 'newcomer' AND state = 'published'"
            )
            return bool(found)

        await wait_until(has_published, "the newcomer has published", daemon.said, patience_s=120)
        code, said = await ctl(daemon, "disable", "newcomer")
        assert (code, "is switched off" in said) == (0, True), said
        for name in ("newcomer", "stranger"):
            code, said = await ctl(daemon, "remove", name)
            assert code == 0, said

        async def are_gone() -> bool:
            names = {account["name"] for account in (await daemon.ask("accounts"))["accounts"]}
            return not names & {"newcomer", "stranger"}

        # On a machine that is busy a post may end in doubt, and is settled before its account goes.
        await wait_until(are_gone, "both are gone", daemon.said, patience_s=120 + 3 * SETTLE_S)
        assert await daemon.query("SELECT name FROM added_accounts") == []
        assert await daemon.query("SELECT account FROM sessions WHERE account LIKE 'newcomer%'") == []
        seen = json.dumps([await daemon.status(), await daemon.ask("accounts")])
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0
    log = (state_dir / "daemon.log").read_text()
    assert "account_added" in log
    for canary in (CANARY, WRONG):
        assert canary not in log + daemon.output.read_text() + seen
        assert not await trio.to_thread.run_sync(partial(files_with, state_dir / "postgres", canary.encode()))


def files_with(directory: Path, text: bytes) -> list[Path]:
    """The files below `directory`, a database's, that hold the text."""
    found = [Path(place, name) for place, _, names in os.walk(directory) for name in names]
    return [path for path in found if path.is_file() and text in path.read_bytes()]
