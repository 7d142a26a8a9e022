"""No secret that the real daemon holds is anywhere where people or programs look, whatever a job says.

A job of the test's own says them all, with a word of its own beside them that is no secret: where that word
is found, the secrets could have been.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from cryptography.fernet import Fernet

from orchestrator.browser.sessions import SessionVault
from orchestrator.errors import ControlError
from orchestrator.keys import KeyRing
from tests.integration.daemon import Daemon, Document, running, wait_until
from tests.testing.packages import install

pytestmark = pytest.mark.timeout(180)

KEY = Fernet.generate_key().decode()
SECRETS = {
    "password of the database": "canary%of/the@dsn",
    "key of the language model": "canary-of-the-model",
    "address of alerts": "json://canary-of-the-pager@127.0.0.1:9/",
    "password of an account": "canary'of\"ada",
    "token of the API": "canary-of-the-api-with-many-letters",
    "master key": KEY,
}
MARK = "nothing-secret"
VIEWS = (
    *("status", "jobs", "queue", "posts", "accounts", "insights", "models", "replies", "opportunities"),
    *("alerts", "budget", "breakers", "cache"),
)
ORDERS_THAT_FAIL: tuple[tuple[str, Document], ...] = (
    ("no-such-verb", {}),
    ("why", {"job": SECRETS["password of an account"]}),
    ("account_add", {"account": "ada", "site": "murmur", "password": SECRETS["password of an account"]}),
)
PAGES = ("/", "/livez", "/startupz", "/readyz", "/health", "/metrics", "/nothing", "/api/v1/nothing")
LEAST_CHARS = 8
"""A shorter value of a cookie, such as "1", is no secret."""

LEAKS = f'''
"""Says what must never be said, wherever a job can say something."""
import logging
import warnings
import structlog
import trio
from orchestrator.errors import PostRefusedError
from orchestrator.jobs import Outcome, Run, Tools, done, job

SECRETS = {list(SECRETS.values())!r}
SAID = "{MARK} " + " ".join([*SECRETS, *map(repr, SECRETS)])


@job(every_s=3e8)
async def leak(run: Run, tools: Tools) -> Outcome:
    if not run.is_asked:
        return done("")
    run.beat(SAID)
    structlog.get_logger("leak").debug(SAID, text=SAID, many=[SAID], error=ValueError(SAID))
    logging.getLogger("library").warning("it says %s", SAID)
    warnings.warn(SAID)
    raise RuntimeError(SAID)


@job(every_s=3e8)
async def give_up(run: Run, tools: Tools) -> Outcome:
    if not run.is_asked:
        return done("")
    raise PostRefusedError(SAID)


@job(every_s=3e8)
async def burst(run: Run, tools: Tools) -> Outcome:
    async def fail() -> None:
        raise RuntimeError(SAID)

    if run.is_asked:
        trio.lowlevel.spawn_system_task(fail)
    return done("")
'''


class Kept:
    """The store of one sign-in that was read from the database."""

    def __init__(self, sealed: bytes) -> None:
        self.sealed = sealed

    async def load(self, _account: str) -> bytes:
        return self.sealed

    async def save(self, _account: str, _state: bytes) -> None:
        raise AssertionError


def seen(said: Mapping[str, str], secrets: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Each place that has a secret in it, as it is or as JSON spells it, with the secret's name."""
    for place, text in said.items():
        for name, secret in secrets.items():
            if secret in text or json.dumps(secret)[1:-1] in text:
                yield place, name


async def cookies(daemon: Daemon) -> dict[str, str]:
    """The values of all cookies of stored sign-ins."""
    found: dict[str, str] = {}
    for row in await daemon.query("SELECT account, state FROM sessions"):
        vault = SessionVault(Kept(row["state"]), KeyRing((KEY,), "", None).fernet)
        state = await vault.load(row["account"])
        assert state is not None
        found |= {
            f"cookie {cookie['name']} of {row['account']}": cookie["value"] for cookie in state["cookies"]
        }
    return {name: value for name, value in found.items() if len(value) >= LEAST_CHARS}


async def everything_asked(daemon: Daemon) -> dict[str, str]:
    """All that control socket and HTTP answer, by what was asked."""
    said = {}
    for verb, args in [*((verb, {}) for verb in VIEWS), *ORDERS_THAT_FAIL, ("why", {"job": "leak"})]:
        try:
            said[f"{verb} {[*args]}"] = json.dumps(await daemon.ask(verb, **args), ensure_ascii=False)
        except ControlError as error:
            said[f"{verb} {[*args]}"] = error.line()
    address = urlsplit((await daemon.status())["links"]["health"])
    async with httpx.AsyncClient(base_url=f"http://{address.netloc}") as http:
        described = (await http.get("/api/v1/openapi.json")).json()["paths"]
        listed = [f"/api/v1{path}" for path, ways in described.items() if "get" in ways and "{" not in path]
        for page in [*PAGES, *listed]:
            answer = await http.get(page)
            said[page] = f"{answer.headers}{answer.text}"
        refused = await http.post(
            "/api/v1/jobs/plan/pause",
            headers={"authorization": f"Bearer {SECRETS['password of an account']}"},
        )
        said["refused order"] = f"{refused.headers}{refused.text}"
    return said


async def test_planted_secrets_are_nowhere_to_be_read(
    state_dir: Path, tmp_path: Path, database_dsn: str
) -> None:
    install(tmp_path, "leaks", {"leaks.py": LEAKS}, {"own": "leaks"})
    (state_dir / "session.key").write_text(KEY)
    (state_dir / "api-token").write_text(SECRETS["token of the API"])
    accounts = [{"name": "ada", "password": SECRETS["password of an account"]}]
    (state_dir / "accounts.json").write_text(json.dumps(accounts))
    password = quote(SECRETS["password of the database"], safe="")
    environment = {
        "PYTHONPATH": str(tmp_path),
        "ORCHESTRATOR_DATABASE__DSN": database_dsn.replace("orchestrator@", f"orchestrator:{password}@"),
        "ORCHESTRATOR_LANGUAGE_MODEL__BASE_URL": "http://127.0.0.1:9",
        "ORCHESTRATOR_LANGUAGE_MODEL__API_KEY": SECRETS["key of the language model"],
        "ORCHESTRATOR_LANGUAGE_MODEL__LARGE": json.dumps({"name": "m", "input_price": 1, "output_price": 1}),
        "ORCHESTRATOR_ALERTS__DESTINATIONS": json.dumps({"ops": {"url": SECRETS["address of alerts"]}}),
        "ORCHESTRATOR_LOG__LEVEL": "debug",
    }
    async with running(state_dir, "--accounts", "1", environment=environment) as daemon:
        await wait_until(lambda: has_started(daemon), "it has started", daemon.said)
        secrets = SECRETS | await wait_until(lambda: cookies(daemon), "a sign-in is stored", daemon.said)
        for job in ("leak", "give_up"):
            await daemon.ask("run", job=job)
        details = await wait_until(lambda: recorded(daemon), "both runs are on record", daemon.said)
        await wait_until(lambda: is_logged(daemon, "alerts_not_delivered"), "an alert is told", daemon.said)
        said = await everything_asked(daemon)
        said["records of runs"] = json.dumps(details, ensure_ascii=False)
        await daemon.ask("run", job="burst")
        assert await daemon.ended() not in (0, 2)
        said["log"] = (state_dir / "daemon.log").read_text()
        said["log of the crash"] = said["log"].partition('"event": "crashed"')[2]
        said["traceback"] = daemon.output.read_text().partition("Traceback")[2]
    assert list(seen(said, secrets)) == []
    reached = {place for place, text in said.items() if MARK in text}
    assert reached >= {"log", "log of the crash", "traceback", "records of runs"}
    assert reached >= {"why ['job']", "jobs []", "/api/v1/jobs"}
    leaked = {place: text.replace("(hidden)", " ".join(SECRETS.values())) for place, text in said.items()}
    assert {place for place, _ in seen(leaked, SECRETS)} >= reached, "a secret would not be found"


async def has_started(daemon: Daemon) -> bool:
    return await daemon.mode() in ("ready", "degraded")


async def recorded(daemon: Daemon) -> list[str]:
    """What the runs of both jobs have ended with, once they have."""
    ended = "SELECT detail FROM job_runs WHERE job IN ('leak', 'give_up') AND ending = 'given_up'"
    found = [row["detail"] for row in await daemon.query(ended)]
    return found if len(found) > 1 else []


async def is_logged(daemon: Daemon, event: str) -> bool:
    return f'"event": "{event}"' in (daemon.state_dir / "daemon.log").read_text()
