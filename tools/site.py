"""Builds the site of the documentation in build/site: `make site`. Nothing in it is loaded from elsewhere.

The pages of docs/ and three of the checkout are copied, so that all links between them are within the site; a
link to any other file of the checkout is left as its text. What is broken ends the build.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
ELSEWHERE = {"README.md": "project.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages that stand in the checkout itself, and their names in the site."""
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s#]+)(#[^()\s]*)?\)")


def pages() -> dict[Path, str]:
    """Every page by its file, with its name in the site."""
    names = {path: path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    names |= {ROOT / name: to for name, to in ELSEWHERE.items()}
    return names | {ROOT / "docs" / "README.md": "index.md"}


def rewritten(text: str, path: Path, names: dict[Path, str]) -> str:
    """The text of a page with its links as they are in the site."""

    def follow(link: re.Match[str]) -> str:
        target = (path.parent / link[2]).resolve()
        if target in names:
            return f"[{link[1]}]({names[target]}{link[3] or ''})"
        return link[1] if target.exists() else link[0]

    return LINK.sub(follow, text)


def copy() -> None:
    """Fill `SOURCE`."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    shutil.copytree(ROOT / "docs" / "images", SOURCE / "images")
    names = pages()
    for path, name in names.items():
        (SOURCE / name).write_text(rewritten(path.read_text("utf-8"), path, names), "utf-8")


def main() -> int:
    copy()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code == 0:
        print("It is in build/site. To search it too: python3 -m http.server --directory build/site")
    return code


if __name__ == "__main__":
    sys.exit(main())
