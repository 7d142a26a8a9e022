"""Packages as pip leaves them: modules, and what their metadata says."""

from collections.abc import Mapping
from pathlib import Path

GROUP = "orchestrator.jobs"


def install(
    directory: Path,
    name: str,
    files: Mapping[str, str],
    entry_points: Mapping[str, str],
    version: str = "1.0",
) -> None:
    """Put `files` and a distribution that names them into `directory`, which stands on Python's path."""
    for file, text in files.items():
        path = directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    lines = [f"{point} = {value}" for point, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
