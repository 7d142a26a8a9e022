"""Files of the project that must agree with each other."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.settings import Settings
from tools import cli_reference, errors_reference, metrics_reference, settings_reference
from tools.settings_reference import reference

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = sorted((ROOT / "requirements").glob("*.txt"))


def pins(kind: str) -> dict[str, list[str]]:
    """The versions that requirements/KIND.txt pins, by name; one with markers may have several."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / f"{kind}.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9._-]+)==([^ ;\\]+)", line, re.IGNORECASE):
            found.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return found


def wanted(kind: str) -> list[Requirement]:
    groups = PROJECT["dependency-groups"]
    lists = {"run": ["setup"], "dev": ["setup", "dev"], "lock": ["lock"]}[kind]
    own = PROJECT["project"]["dependencies"] if kind != "lock" else []
    return [Requirement(text) for text in own + [text for name in lists for text in groups[name]]]


@pytest.mark.parametrize("file", PINNED, ids=lambda path: path.name)
def test_the_pinned_requirements_hold_hashes_and_no_addresses(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"://|@|\bfile:|--(index|extra-index|find-links|trusted)|/", text)
    for statement in re.sub(r"\\\n", " ", text).splitlines():
        assert re.fullmatch(r"\S+==\S+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+", statement), statement


@pytest.mark.parametrize("kind", ["run", "dev", "lock"])
def test_each_requirement_is_pinned_to_a_version_that_satisfies_it(kind: str) -> None:
    pinned = pins(kind)
    for requirement in wanted(kind):
        versions = pinned.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not pinned in {kind}.txt: run `make lock`"
        assert any(requirement.specifier.contains(version) for version in versions), requirement


def test_what_developers_install_holds_all_that_users_install_in_the_same_versions() -> None:
    dev = pins("dev")
    assert {name: dev.get(name) for name in pins("run")} == pins("run")


def imported(folder: str) -> set[str]:
    """The top-level names of everything that the modules of a folder import."""
    return imported_by(*(ROOT / folder).rglob("*.py"))


def imported_by(*paths: Path) -> set[str]:
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


def test_every_package_that_the_program_imports_is_a_dependency_of_its_own() -> None:
    testing = set((ROOT / "orchestrator/testing").rglob("*.py"))
    program = imported_by(*set((ROOT / "orchestrator").rglob("*.py")) - testing)
    assert foreign(program, wanted("run")) == set()
    extra = [Requirement(text) for text in PROJECT["project"]["optional-dependencies"]["testing"]]
    assert foreign(imported_by(*testing), wanted("run") + extra) == set()


def foreign(names: set[str], requirements: list[Requirement]) -> set[str]:
    """Those of the names that no package of `requirements` brings."""
    distributions = packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in requirements}
    return {
        name
        for name in names - set(sys.stdlib_module_names) - {"orchestrator"}
        if not {canonicalize_name(dist) for dist in distributions.get(name, [])} & declared
    }


def test_what_the_extra_for_tests_wants_is_what_our_own_tests_use() -> None:
    extra = PROJECT["project"]["optional-dependencies"]["testing"]
    assert set(extra) <= set(PROJECT["dependency-groups"]["dev"])


def test_set_up_needs_nothing_but_python_itself() -> None:
    assert imported("tools/setup") <= {*sys.stdlib_module_names, "tools"}


def test_every_dependency_has_its_line_in_the_docs() -> None:
    rows = (ROOT / "docs" / "dependencies.md").read_text().splitlines()
    described = {match[1] for row in rows if (match := re.match(r"\| `([^`]+)` \| \S.* \| \S.* \|$", row))}
    names = {requirement.name for kind in ("dev", "lock") for requirement in wanted(kind)}
    assert described == names


@pytest.mark.parametrize(
    "page",
    [settings_reference, cli_reference, metrics_reference, errors_reference],
    ids=lambda page: page.TARGET.name,
)
def test_a_page_that_is_made_from_the_code_is_up_to_date(page: Any) -> None:
    assert page.TARGET.read_text() == page.reference(), "run `make docs`"


def test_every_setting_and_section_says_what_it_is() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []
    for name, field in Settings.model_fields.items():
        assert field.description or getattr(field.annotation, "__doc__", None), name


def test_make_alone_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    listed = subprocess.check_output(["make", "--no-print-directory", "-C", str(ROOT)], text=True)
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert re.findall(r"^make ([\w-]+)", listed, re.MULTILINE) == phony.split()[1:]
