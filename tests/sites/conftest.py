"""The bundled site as a program of its own, with its ledger and its switches for faults."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.browser.pool import ContextPool
from orchestrator.sites import Profile, SiteAccount, load_profile
from tests.browser.harness import MemoryStore, pool_in

TOKEN = "token-of-tests"


@dataclass(frozen=True, slots=True)
class BundledSite:
    """Its address, and its admin pages."""

    url: str

    def ask(self, page: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/admin/{page}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def ledger(self, text: str) -> list[str]:
        """The references of all accepted posts with that text."""
        return [post["reference"] for post in self.ask("ledger")["posts"] if post["text"] == text]

    def break_with(self, **faults: object) -> None:
        self.ask("faults", faults)

    def sign_everyone_out(self) -> None:
        self.ask("sign-out-everyone", {})


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BundledSite]:
    directory = tmp_path_factory.mktemp("site")
    (directory / "token").write_text(TOKEN)
    accounts = [{"name": name, "password": f"pass-of-{name}"} for name in ("ada", "bert")]
    (directory / "accounts").write_text(json.dumps(accounts))
    command = [sys.executable, "-m", "orchestrator.demo", "--port", "0", "--data", str(directory / "data")]
    command += ["--admin-token-file", str(directory / "token"), "--die-with-parent"]
    command += ["--accounts-file", str(directory / "accounts")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield BundledSite(process.stdout.readline().removeprefix("ready ").strip())
        finally:
            process.terminate()


@pytest.fixture
def bundled_site(running_site: BundledSite) -> Iterator[BundledSite]:
    yield running_site
    running_site.break_with()


@pytest.fixture
def profile(bundled_site: BundledSite) -> Profile:
    return load_profile("microblog", bundled_site.url)


@pytest.fixture
def ada(profile: Profile) -> SiteAccount:
    return SiteAccount("ada", "ada", SecretStr("pass-of-ada"), profile)


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[ContextPool]:
    async with pool_in(tmp_path, MemoryStore()) as pool:
        yield pool
