import io

from rich.console import Console

from orchestrator.terminal.cache import render_cache


def test_each_namespace_has_its_hit_rate() -> None:
    namespaces = [
        {"name": "arms", "level_s": 900, "hits": 9, "misses": 1, "hit_rate": 0.9},
        {"name": "models", "level_s": 3600, "hits": 0, "misses": 0, "hit_rate": None},
    ]
    cache = {
        "place": "Redis at 127.0.0.1:6379, database 0",
        "entries": 12,
        "size_bytes": 1_500_000,
        "connections": 2,
        "namespaces": namespaces,
    }
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(render_cache({"cache": cache}))
    text = console.export_text()
    assert "Cache: Redis at 127.0.0.1:6379, database 0, 12 values, 1.5 MB, 2 connections" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["arms", "15", "min", "9", "1", "90%"] in lines
    assert any(line[:1] == ["models"] and line[-1] == "–" for line in lines)
