"""What the start costs."""

import subprocess
import sys

SELDOM = ("coredis", "beartype", "httpx", "feedparser", "apprise")
"""What only some settings need; each takes tenths of a second to import."""


def test_what_only_some_settings_need_is_not_imported_by_all() -> None:
    program = f"import sys, orchestrator.app; print([name for name in {SELDOM} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
