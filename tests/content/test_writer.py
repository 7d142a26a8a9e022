"""The writer over a folder."""

from pathlib import Path
from random import Random

from structlog.testing import capture_logs

from orchestrator.content.generator import SOURCE, Written
from orchestrator.content.writer import Writer
from orchestrator.model import Arms, fingerprint
from orchestrator.settings import ContentSettings


def test_with_default_settings_the_bundled_files_and_then_the_templates_are_used() -> None:
    writer = Writer(ContentSettings())
    assert not writer.problems
    texts: list[str] = []
    sources: list[str] = []
    rng = Random(2)
    for _ in range(30):
        written = writer.read().write(Arms("cycling", "tip", 1), rng, recent_texts=texts)
        assert isinstance(written, Written)
        assert written.format == "tip"
        texts.append(written.text)
        sources.append(written.source.partition(":")[0])
    assert sources == ["cycling-tips.md"] * 3 + ["template"] * 27
    assert len(set(texts)) == 30


def test_a_wish_for_a_format_that_the_topic_has_not_is_met_by_another_one(tmp_path: Path) -> None:
    (tmp_path / "knit.md").write_text(
        '+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n'
    )
    writer = Writer(ContentSettings(folder=tmp_path))
    assert "knitting" in writer.read().inventory.topics
    written = writer.read().write(Arms("knitting", "list", 1), Random(3))
    assert isinstance(written, Written)
    assert (written.topic, written.format, written.source) == ("knitting", "tip", "knit.md:4")


def test_beside_a_folder_of_the_users_own_nothing_bundled_is_used(tmp_path: Path) -> None:
    (tmp_path / "knit.md").write_text(
        '+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n'
    )
    writer = Writer(ContentSettings(folder=tmp_path))
    assert (writer.read().inventory.topics, writer.read().inventory.formats) == (("knitting",), ("tip",))
    assert isinstance(writer.read().write(Arms("gardening", "tip", 1), Random(3)), list)


def test_files_written_while_the_daemon_runs_are_used(tmp_path: Path) -> None:
    writer = Writer(ContentSettings(folder=tmp_path))
    assert "knitting" not in writer.read().inventory.topics
    (tmp_path / "knit.md").write_text(
        '+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n'
    )
    assert "knitting" in writer.read().inventory.topics


def test_a_broken_file_is_logged_once_and_kept_as_a_problem_until_mended(tmp_path: Path) -> None:
    broken = tmp_path / "broken.md"
    broken.write_text("no front matter")
    with capture_logs() as logs:
        writer = Writer(ContentSettings(folder=tmp_path))
        writer.read()
    assert [entry["event"] for entry in logs] == ["content_broken"]
    assert "broken.md, line 1" in logs[0]["problem"]
    assert len(writer.problems) == 1
    broken.write_text('+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n')
    writer.read()
    assert not writer.problems


def test_the_sites_own_limit_is_kept() -> None:
    writer = Writer(ContentSettings())
    written = writer.read().write(Arms("books", "list", 1), Random(4), site_max_chars=10)
    assert isinstance(written, list)
    assert {refusal.gate for refusal in written} == {"length"}


def test_what_was_ever_used_is_not_written_again_however_long_ago(tmp_path: Path) -> None:
    texts = [f"Tip: count the stitches after row {number} of the scarf." for number in range(3)]
    (tmp_path / "knit.md").write_text('+++\ntopic = "knitting"\ntags = []\n+++\n' + "\n---\n".join(texts))
    stock = Writer(ContentSettings(folder=tmp_path)).read()
    wish = Arms("knitting", "tip", 1)
    written = stock.write(wish, Random(3), used={fingerprint(text) for text in texts[:2]})
    assert isinstance(written, Written)
    assert written.text == texts[2]
    refusals = stock.write(wish, Random(3), used={fingerprint(text) for text in texts})
    assert isinstance(refusals, list)
    assert [refusal.gate for refusal in refusals] == [SOURCE]


def test_a_stock_stays_as_it_was_read(tmp_path: Path) -> None:
    stock = Writer(ContentSettings(folder=tmp_path)).read()
    (tmp_path / "knit.md").write_text('+++\ntopic = "knitting"\n+++\nTip: count the stitches of a row.\n')
    assert stock.inventory.topics == ()
