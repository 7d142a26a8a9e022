"""Every query that gives a list says how long it may be, or stands here with what bounds it (E8)."""

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "orchestrator" / "db"

BOUNDED = {
    "accounts.counts": "a row for each account that is asked for",
    "accounts.marks": "a row for each account and kind of trouble",
    "accounts.never_signed_in": "a row for each account that is asked for",
    "accounts.states": "a row for each account that is asked for",
    "alerts.unfinished": "what is wrong at this moment",
    "blockers.find": "the server's connections",
    "breakers.kept": "a row for each outside party",
    "comparison.by_fingerprint": "a row for each text that is asked for",
    "comparison.findings": "a row for each account that is asked for",
    "doubts.ambiguous": "some of each account",
    "doubts.doubt_stuck": "one post is on its way at a time",
    "doubts.recover": "one post is on its way at a time",
    "learned.arms": "a row for each value of a choice",
    "measurements.turns": "a row for each account that is asked for",
    "migrate._applied": "a row for each migration",
    "migrate._check_fit": "the tables of the schema",
    "opportunities.count_by_state": "a row for each state",
    "opportunities.count_open": "a row for each site that is asked for",
    "opportunities.drafts": "a row for each account that is asked for",
    "post_figures.count_by_state": "a row for each state",
    "posts.add_all": "a row for each draft",
    "posts.known_references": "a row for each reference that is asked for",
    "posts.used_fingerprints": "some accounts' posts: each may be the one that is not to go out again",
    "prepared.pool": "the pool",
    "run_lengths.past_runs": "the latest runs of each job",
    "registry.disabled": "a row for each account",
    "runs.interrupt_orphans": "runs that were under way: one for each job",
    "runs.paused": "a row for each job",
}


def lists() -> Iterator[tuple[str, bool]]:
    """Each query that gives a list: the function that asks it, and whether it says how long."""
    for path in sorted(FOLDER.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef):
                for call in ast.walk(function):
                    is_list = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
                    if is_list and call.func.attr == "fetch" and call.args:  # type: ignore[attr-defined]
                        query = ast.unparse(call.args[0])  # type: ignore[attr-defined]
                        yield f"{path.stem}.{function.name}", "LIMIT" in query


def test_a_list_has_a_limit_or_a_reason_to_have_none() -> None:
    """When this fails, give the query a LIMIT; or say in BOUNDED what bounds it."""
    without = {name for name, has_limit in lists() if not has_limit}
    assert without - BOUNDED.keys() == set()
    assert BOUNDED.keys() - without == set()
