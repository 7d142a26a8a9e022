"""The folder of Markdown files."""

import os
from pathlib import Path

import pytest

from orchestrator.content import sources
from orchestrator.content.sources import MarkdownFolder, Snippet, parse_snippets
from orchestrator.errors import ContentError

GOOD = '+++\ntopic = "gardening"\n+++\nSome *plain* text.\n'


def parse(text: str) -> tuple[Snippet, ...]:
    return parse_snippets(text, name="a.md", shown="/folder/a.md")


# ── one file ────────────────────────────────────────────────────────────────────────────────────


def test_a_file_gives_a_snippet_for_each_part_with_its_line_and_hashtags() -> None:
    text = (
        '+++\ntopic = "gardening"\nformat = "tip"\ntags = ["roses", "#soil"]\n+++\n'
        "\nFirst *text*.\n---\n\n---\nSecond\ntext.\n"
    )
    assert parse(text) == (
        Snippet("First text.\n#roses #soil", "gardening", "tip", "a.md:7"),
        Snippet("Second text.\n#roses #soil", "gardening", "tip", "a.md:11"),
    )


def test_without_tags_the_topic_is_the_hashtag_and_with_an_empty_list_there_is_none() -> None:
    assert parse('+++\ntopic = "Home Brewing"\n+++\nText.')[0].text == "Text.\n#homebrewing"
    assert parse('+++\ntopic = "beer"\ntags = []\n+++\nText.')[0].text == "Text."


def test_topics_and_formats_are_the_same_in_any_case() -> None:
    (snippet,) = parse('+++\ntopic = " Gardening "\nformat = "TIP"\n+++\nText.')
    assert (snippet.topic, snippet.format) == ("gardening", "tip")


def test_without_a_format_each_snippet_has_the_one_that_it_looks_like() -> None:
    snippets = parse('+++\ntopic = "a"\n+++\n**Tip:** do.\n---\n7 things.\n---\nWhy?\n---\nIt was so.')
    assert [snippet.format for snippet in snippets] == ["tip", "number", "question", "story"]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    reading = MarkdownFolder(tmp_path).read()
    assert not reading.problems
    assert [snippet.text for snippet in reading.snippets] == ["Some plain text.\n#gardening"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("Just text.", 1, "must start with a line +++"),
        ("", 1, "must start with a line +++"),
        ('+++\ntopic = "a"\nText.', 3, "no closing line +++"),
        ('+++\ntopic = "a"\ntopic = "b"\n+++\nText.', 3, "not TOML"),
        ("+++\n\ntopic = a\n+++\nText.", 3, "not TOML"),
        ('+++\ntopic = "a"\ntags = [\n+++\nText.', 3, "not TOML"),
        ('+++\ntopic = "a"\n\nauthor = "me"\n+++\nText.', 4, "unknown key 'author'"),
        ('+++\ntopic = "a"\n[author]\nname = "me"\n+++\nText.', 3, "unknown key 'author'"),
        ('+++\nformat = "tip"\n+++\nText.', 1, "no topic"),
        ("+++\ntopic = 5\n+++\nText.", 2, "topic must be"),
        ('+++\ntopic = ""\n+++\nText.', 2, "topic must be"),
        ('+++\ntopic = "a"\nformat = ["tip"]\n+++\nText.', 3, "format must be"),
        ('+++\ntopic = "a"\ntags = "b"\n+++\nText.', 3, "tags must be"),
        ('+++\ntopic = "a"\ntags = ["two words"]\n+++\nText.', 3, "tags must be"),
        ('+++\ntopic = "a"\ntags = [1]\n+++\nText.', 3, "tags must be"),
        ('+++\ntopic = "a"\n+++\n\n---\n<!-- nothing -->', 6, "no text below"),
    ],
)
def test_a_broken_file_is_told_with_its_name_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(ContentError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"/folder/a.md, line {line}: ")
    assert reason in str(caught.value)


# ── the folder ──────────────────────────────────────────────────────────────────────────────────


def test_files_are_found_in_subfolders_and_hidden_or_other_ones_are_left_out(tmp_path: Path) -> None:
    for name in ("b.md", "deep/er/a.md", ".hidden.md", ".git/c.md", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GOOD)
    reading = MarkdownFolder(tmp_path).read()
    assert [snippet.source for snippet in reading.snippets] == ["b.md:4", "deep/er/a.md:4"]
    assert not reading.problems


def test_broken_files_are_reported_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("no front matter")
    (tmp_path / "b.md").write_text(GOOD)
    (tmp_path / "c.md").write_bytes(b'+++\ntopic = "a"\n+++\nline\n\xff')
    (tmp_path / "d.md").write_text(GOOD + "x" * sources._MAX_FILE_BYTES)
    (tmp_path / "e.md").symlink_to("nowhere.md")
    os.mkfifo(tmp_path / "f.md")
    reading = MarkdownFolder(tmp_path).read()
    assert [snippet.source for snippet in reading.snippets] == ["b.md:4"]
    problems = "\n".join(sorted(map(str, reading.problems)))
    for part in (
        "a.md, line 1",
        "c.md, line 5: is not UTF-8",
        "d.md: the file is larger",
        "e.md: can't be read",
    ):
        assert part in problems
    assert "f.md: is no ordinary file" in problems
    assert len(reading.problems) == 5


def test_a_folder_that_is_not_there_is_a_problem_until_it_is(tmp_path: Path) -> None:
    folder = MarkdownFolder(tmp_path / "later")
    (problem,) = folder.read().problems
    assert "later" in str(problem)
    assert problem.remedy
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.md").write_text(GOOD)
    assert len(folder.read().snippets) == 1
    assert not folder.read().problems


def test_new_changed_mended_and_deleted_files_are_seen_at_the_next_read(tmp_path: Path) -> None:
    folder = MarkdownFolder(tmp_path)
    one, two = tmp_path / "one.md", tmp_path / "two.md"
    one.write_text("broken")
    assert len(folder.read().problems) == 1
    one.write_text(GOOD)
    two.write_text(GOOD)
    assert [snippet.source for snippet in folder.read().snippets] == ["one.md:4", "two.md:4"]
    two.write_text(GOOD.replace("plain", "fresh"))
    assert "fresh" in folder.read().snippets[1].text
    one.unlink()
    reading = folder.read()
    assert [snippet.source for snippet in reading.snippets] == ["two.md:4"]
    assert not reading.problems


def test_unchanged_files_are_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(GOOD)
    folder = MarkdownFolder(tmp_path)
    first = folder.read()
    parsed: list[str] = []

    def spy(text: str, *, name: str, shown: str) -> tuple[Snippet, ...]:
        parsed.append(name)
        return parse_snippets(text, name=name, shown=shown)

    monkeypatch.setattr(sources, "parse_snippets", spy)
    assert folder.read() == first
    assert parsed == []
    (tmp_path / "1.md").write_text(GOOD + "More.")
    folder.read()
    assert parsed == ["1.md"]


def test_the_bundled_files_are_sound_and_each_topic_has_two() -> None:
    bundled = Path(sources.__file__).parent / "bundled"
    reading = MarkdownFolder(bundled).read()
    assert not reading.problems
    files: dict[str, set[str]] = {}
    for snippet in reading.snippets:
        files.setdefault(snippet.topic, set()).add(snippet.source.partition(":")[0])
        assert len(snippet.text) <= 280
        assert f"#{snippet.topic}" in snippet.text
    assert {topic: len(names) for topic, names in files.items()} == dict.fromkeys(
        ("astronomy", "books", "cooking", "cycling", "gardening"), 2
    )
