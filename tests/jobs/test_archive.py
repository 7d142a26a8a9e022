"""The archive's files: whole, readable after a kill, and bounded."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.errors import StateDirectoryError
from orchestrator.jobs import archive as module
from orchestrator.jobs.archive import Archive

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def lines_of(directory: Path) -> list[str]:
    return [
        line
        for path in sorted(directory.glob("*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


def begun(directory: Path) -> Archive:
    archive = Archive(directory, NOON)
    archive.mend()
    return archive


def test_what_is_appended_is_read_back_in_its_order(tmp_path: Path) -> None:
    archive = begun(tmp_path / "archive")
    archive.append("runs", ['{"id": 1}', '{"id": 2}'])
    archive.append("runs", ['{"id": 3}'])
    archive.append("posts", ['{"text": "é"}'])
    archive.close()
    names = sorted(path.name for path in (tmp_path / "archive").iterdir())
    assert names == ["posts-20260504T120000Z.0002.jsonl.gz", "runs-20260504T120000Z.0001.jsonl.gz"]
    assert lines_of(tmp_path / "archive") == ['{"text": "é"}', '{"id": 1}', '{"id": 2}', '{"id": 3}']


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    archive = begun(tmp_path / "archive")
    archive.append("posts", ["{}"])
    archive.close()
    assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "archive").iterdir()] == [0o600]


def cut_off(directory: Path, archive: Archive, at: int) -> Path:
    """What is left of the file under way when its writer is killed."""
    [part] = directory.glob("*.part")
    left = part.read_bytes()[:at]
    archive.close()
    part.with_suffix("").unlink()
    part.write_bytes(left)
    return part


@pytest.mark.parametrize("lost_bytes", [1, 7, 20])
def test_a_file_that_was_cut_off_is_cut_back_to_what_was_written_whole(
    tmp_path: Path, lost_bytes: int
) -> None:
    archive = begun(tmp_path)
    archive.append("runs", [f'{{"id": {number}}}' for number in range(1000)])
    archive.append("runs", ["cut off"])
    part = cut_off(tmp_path, archive, -lost_bytes)
    assert Archive(tmp_path, NOON).mend() == [part.name]
    assert lines_of(tmp_path) == [f'{{"id": {number}}}' for number in range(1000)]
    assert list(tmp_path.glob("*.part")) == []


def test_a_file_whose_first_page_was_cut_off_is_deleted(tmp_path: Path) -> None:
    archive = begun(tmp_path)
    archive.append("runs", ["cut off"])
    cut_off(tmp_path, archive, 5)
    Archive(tmp_path, NOON).mend()
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_at_the_same_moment_replaces_no_file(tmp_path: Path) -> None:
    for number in range(2):
        archive = begun(tmp_path)
        archive.append("runs", [str(number)])
        archive.close()
    assert lines_of(tmp_path) == ["0", "1"]


def test_a_file_that_has_grown_large_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 1)
    archive = begun(tmp_path)
    for number in range(3):
        archive.append("runs", [str(number)])
    archive.close()
    assert len(list(tmp_path.glob("runs-*.jsonl.gz"))) == 3


def test_the_oldest_files_go_first_when_the_archive_is_too_large(tmp_path: Path) -> None:
    for name, day in (("posts", 1), ("runs", 2), ("posts", 3)):
        archive = Archive(tmp_path, NOON.replace(day=day))
        archive.mend()
        archive.append(name, ["x" * 100])
        archive.close()
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    assert Archive(tmp_path, NOON).prune(2 * size) == ["posts-20260501T120000Z.0001.jsonl.gz"]
    assert Archive(tmp_path, NOON).prune(2 * size) == []


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file")
    with pytest.raises(StateDirectoryError, match=r"the archive .*archive can't be written: File exists"):
        Archive(tmp_path / "archive", NOON).mend()
