"""Describes the machine and the programs that the figures were taken with."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from orchestrator.browser.launcher import find_browser
from orchestrator.db.installation import find_installation

LIBRARIES = ("trio", "playwright", "uvloop", "asyncpg", "pydantic", "hypercorn", "starlette")


def describe() -> list[str]:
    """Lines for people: machine, system, programs, libraries, and how busy the machine was."""
    memory_gib = psutil.virtual_memory().total / 2**30
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"machine    {_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB",
        f"system     {_system()}, Linux {platform.release()}",
        f"programs   Python {platform.python_version()}, {_browser()}, {_postgres()}",
        f"libraries  {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}",
        f"load       {load} before the first figure (1, 5 and 15 minutes)",
    ]


def _processor() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _browser() -> str:
    found = find_browser(None)
    match = re.search(r"[0-9.]+", _first_line([str(found.path), "--version"]))
    return f"{found.kind} {match[0] if match else '(version unknown)'}"


def _postgres() -> str:
    said = _first_line([str(find_installation().postgres), "--version"])
    return said.replace("postgres (PostgreSQL)", "PostgreSQL")


def _first_line(command: list[str]) -> str:
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return output.strip().splitlines()[0]
