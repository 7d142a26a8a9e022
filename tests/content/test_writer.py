"""The writer over a folder."""

import threading
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from orchestrator.content.generator import SOURCE, Written
from orchestrator.content.sources import MarkdownFolder, Reading
from orchestrator.content.writer import Writer
from orchestrator.model import Arms, fingerprint
from orchestrator.settings import ContentSettings


async def test_with_default_settings_the_bundled_files_and_then_the_templates_are_used() -> None:
    writer = Writer(ContentSettings())
    assert not writer.problems
    texts: list[str] = []
    sources: list[str] = []
    rng = Random(2)
    for _ in range(30):
        written = (await writer.read()).write(Arms("cycling", "tip", 1), rng, recent_texts=texts)
        assert isinstance(written, Written)
        assert written.format == "tip"
        texts.append(written.text)
        sources.append(written.source.partition(":")[0])
    assert sources == ["cycling-tips.md"] * 3 + ["template"] * 27
    assert len(set(texts)) == 30


async def test_a_wish_for_a_format_that_the_topic_has_not_is_met_by_another_one(tmp_path: Path) -> None:
    (tmp_path / "knit.md").write_text(
        '+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n'
    )
    writer = Writer(ContentSettings(folder=tmp_path))
    assert "knitting" in (await writer.read()).inventory.topics
    written = (await writer.read()).write(Arms("knitting", "list", 1), Random(3))
    assert isinstance(written, Written)
    assert (written.topic, written.format, written.source) == ("knitting", "tip", "knit.md:4")


async def test_beside_a_folder_of_the_users_own_nothing_bundled_is_used(tmp_path: Path) -> None:
    (tmp_path / "knit.md").write_text(
        '+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n'
    )
    writer = Writer(ContentSettings(folder=tmp_path))
    stock = await writer.read()
    assert (stock.inventory.topics, stock.inventory.formats) == (("knitting",), ("tip",))
    assert isinstance(stock.write(Arms("gardening", "tip", 1), Random(3)), list)


async def test_files_written_while_the_daemon_runs_are_used(tmp_path: Path) -> None:
    writer = Writer(ContentSettings(folder=tmp_path))
    assert "knitting" not in (await writer.read()).inventory.topics
    (tmp_path / "knit.md").write_text(
        '+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n'
    )
    assert "knitting" in (await writer.read()).inventory.topics


async def test_a_broken_file_is_logged_once_and_kept_as_a_problem_until_mended(tmp_path: Path) -> None:
    broken = tmp_path / "broken.md"
    broken.write_text("no front matter")
    with capture_logs() as logs:
        writer = Writer(ContentSettings(folder=tmp_path))
        await writer.read()
    assert [entry["event"] for entry in logs] == ["content_broken"]
    assert "broken.md, line 1" in logs[0]["problem"]
    assert len(writer.problems) == 1
    broken.write_text('+++\ntopic = "knitting"\n+++\nTip: count the stitches after each row.\n')
    await writer.read()
    assert not writer.problems


async def test_of_several_who_ask_at_once_one_reads_the_folder_and_a_broken_file_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.md").write_text("no front matter")
    writer, read, may_read = Writer(ContentSettings(folder=tmp_path)), MarkdownFolder.read, threading.Event()

    def read_slowly(folder: MarkdownFolder) -> Reading:
        assert may_read.wait(timeout=30)
        return read(folder)

    monkeypatch.setattr(MarkdownFolder, "read", read_slowly)
    threads = trio.to_thread.current_default_thread_limiter()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(writer.read)
            await trio.testing.wait_all_tasks_blocked()
            reading = threads.borrowed_tokens
            may_read.set()
    assert reading == 1
    assert [entry["event"] for entry in logs] == ["content_broken"]


async def test_the_sites_own_limit_is_kept() -> None:
    writer = Writer(ContentSettings())
    written = (await writer.read()).write(Arms("books", "list", 1), Random(4), site_max_chars=10)
    assert isinstance(written, list)
    assert {refusal.gate for refusal in written} == {"length"}


async def test_what_was_ever_used_is_not_written_again_however_long_ago(tmp_path: Path) -> None:
    texts = [f"Tip: count the stitches after row {number} of the scarf." for number in range(3)]
    (tmp_path / "knit.md").write_text('+++\ntopic = "knitting"\ntags = []\n+++\n' + "\n---\n".join(texts))
    stock = await Writer(ContentSettings(folder=tmp_path)).read()
    wish = Arms("knitting", "tip", 1)
    written = stock.write(wish, Random(3), used={fingerprint(text) for text in texts[:2]})
    assert isinstance(written, Written)
    assert written.text == texts[2]
    refusals = stock.write(wish, Random(3), used={fingerprint(text) for text in texts})
    assert isinstance(refusals, list)
    assert [refusal.gate for refusal in refusals] == [SOURCE]


async def test_a_stock_stays_as_it_was_read(tmp_path: Path) -> None:
    stock = await Writer(ContentSettings(folder=tmp_path)).read()
    (tmp_path / "knit.md").write_text('+++\ntopic = "knitting"\n+++\nTip: count the stitches of a row.\n')
    assert stock.inventory.topics == ()
