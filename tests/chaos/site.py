"""The bundled site as the campaign runs it: it is somebody else's, so it lives and dies on its own."""

import json
import secrets
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from orchestrator.clock import Clock

ACCOUNTS = ("ada", "grace")
END_S = 10.0
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The site has none; to load all of the machine's for each question costs more than the question."""

Document = dict[str, Any]


@dataclass(slots=True)
class Site:
    """A site with its data in `place`, on one port over all its restarts."""

    place: Path
    port: int = 0
    process: "subprocess.Popen[str] | None" = None
    passwords: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_urlsafe(12) for name in ACCOUNTS}
    )
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def start(self, clock: Clock) -> None:
        self.place.mkdir(exist_ok=True)
        accounts, token = self.place / "accounts.json", self.place / "token"
        entries = [{"name": name, "password": password} for name, password in self.passwords.items()]
        accounts.write_text(json.dumps(entries))
        token.write_text(self.token)
        command = [
            *(sys.executable, "-m", "orchestrator.demo", "--port", str(self.port), "--die-with-parent"),
            *("--data", str(self.place / "data"), "--admin-token-file", str(token)),
            *("--clock", f"{clock.speed},{clock.real_epoch},{clock.shown_epoch}"),
            *("--accounts-file", str(accounts)),
        ]
        with (self.place / "log").open("a") as log:
            # On this very thread: the kernel ends the site when the thread that started it ends.
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = await trio.to_thread.run_sync(self.process.stdout.readline)
        assert line.startswith("ready "), f"the site did not start; see {self.place / 'log'}"
        self.port = int(line.rstrip("/\n").rpartition(":")[2])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(END_S)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    async def ledger(self, after: int = 0) -> list[Document]:
        """Every post that it has accepted, in order, from after that sequence number on."""
        found: list[Document] = (await self._admin("GET", f"ledger?after={after}"))["posts"]
        return found

    async def set_faults(self, faults: Document) -> None:
        await self._admin("POST", "faults", faults)

    async def faults_left(self) -> int:
        """How often the faults that are on will still strike."""
        return sum(fault["times"] for fault in (await self._admin("GET", "faults")).values())

    async def sign_out_everyone(self) -> None:
        await self._admin("POST", "sign-out-everyone", {})

    async def _admin(self, method: str, page: str, body: Document | None = None) -> Document:
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=30, verify=NO_CERTIFICATES
        ) as http:
            response = await http.request(method, f"/admin/{page}", json=body)
        assert response.status_code == 200, response.text
        found: Document = response.json()
        return found
