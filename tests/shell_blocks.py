"""The shell blocks of README, CONTRIBUTING and docs/, and which of them no test can run as they stand."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIVES = "it lives until Ctrl-C; the daemon and the site of docs/first-site.md are started so"
LONG = "it takes minutes or hours"
ROOT_NEEDED = "it wants root and systemd; tests/nspawn installs the service in a container"
NOT_RUN = {
    "orchestrator check --config orchestrator.toml   # every": LIVES,
    "orchestrator check --config /etc/orchestrator/orchestrator.toml   # what": LIVES,
    ".venv/bin/python -m orchestrator.demo": LIVES,
    ".venv/bin/orchestrator demo --plain": LIVES,
    "orchestrator ctl watch": "it lives until Ctrl-C; tests/cli/test_watch.py runs it",
    "make run ARGS": LIVES,
    "make test  ": LONG,
    "orchestrator simulate": f"{LONG}; tests/simulate asks for the same of shorter spans",
    "orchestrator ctl accounts add desk": "sign-ins take a while; tests/integration/test_accounts.py does it",
    "apt-get install prometheus": "it wants root, systemd, Grafana; tests/dashboards asks Prometheus",
    "orchestrator ctl status                                           # the first": ROOT_NEEDED,
    "journalctl": "it wants systemd; tests/nspawn asks it in a container",
    "git clone": ROOT_NEEDED,
    "cd /opt/orchestrator": ROOT_NEEDED,
    "mkdir my-jobs": "pip fetches packages; tests/testing/test_tutorial.py lays the same directory out",
    ".venv/bin/pip install --editable": "as before; tests/testing/test_tutorial.py runs the tests",
    ".venv/bin/orchestrator ctl --socket state": "tests/integration/test_own_jobs.py asks the same",
}
"""How a block begins, and why it is not run. Its commands are parsed like all others."""
ELSEWHERE = {"docs/api.md": "tests/web/v1/test_docs.py", "docs/cli.md": "tests/cli/test_help.py"}
"""Pages whose blocks another test runs, or parses where they are made of the parser itself."""


@dataclass(frozen=True)
class Block:
    """What stands in a fence `sh`."""

    page: str
    line: int
    text: str

    @property
    def why_not(self) -> str | None:
        """Why it isn't run with the others; None: it is."""
        reasons = [reason for start, reason in NOT_RUN.items() if self.text.startswith(start)]
        return ELSEWHERE.get(self.page) or (reasons[0] if reasons else None)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def fences(page: str) -> list[tuple[str, Block]]:
    """Every fence of a page, with its language."""
    text = (ROOT / page).read_text("utf-8")
    return [
        (found[1], Block(page, text.count("\n", 0, found.start()) + 1, found[2]))
        for found in FENCE.finditer(text)
    ]


def shell_blocks() -> list[Block]:
    """All of them."""
    return [block for page in PAGES for language, block in fences(page) if language == "sh"]
