import pytest

from orchestrator.model import (
    POST_TRANSITIONS,
    Ending,
    Outcome,
    PostState,
    done,
    fingerprint,
    nothing_to_do,
    over_budget,
    skipped,
    storable,
)


def reachable(start: PostState) -> set[PostState]:
    found, new = {start}, [start]
    while new:
        new = [state for old in new for state in POST_TRANSITIONS[old] if state not in found]
        found.update(new)
    return found


def test_every_state_of_a_post_has_its_ways_out_written_down() -> None:
    assert set(POST_TRANSITIONS) == set(PostState)


def test_every_post_can_reach_a_final_state_and_every_state_is_reached() -> None:
    assert reachable(PostState.DRAFT) == set(PostState)
    for state in PostState:
        assert reachable(state) & {PostState.PUBLISHED, PostState.FAILED}, state


@pytest.mark.parametrize("final", [PostState.PUBLISHED, PostState.FAILED])
def test_nothing_leaves_a_final_state(final: PostState) -> None:
    assert POST_TRANSITIONS[final] == frozenset()


def test_a_post_is_published_only_after_its_intent_was_recorded() -> None:
    before = {state for state, ways in POST_TRANSITIONS.items() if PostState.PUBLISHED in ways}
    assert before == {PostState.SUBMITTING, PostState.AMBIGUOUS}
    assert {state for state, ways in POST_TRANSITIONS.items() if PostState.SUBMITTING in ways} == {
        PostState.CLAIMED
    }


def test_a_fingerprint_does_not_see_how_a_page_breaks_lines() -> None:
    assert fingerprint("one  two\n\nthree ") == fingerprint(" one two three")
    assert fingerprint("one\u00a0two") == fingerprint("one two")


@pytest.mark.parametrize("other", ["one Two three", "one two three.", "onetwo three", ""])
def test_another_text_has_another_fingerprint(other: str) -> None:
    assert fingerprint(other) != fingerprint("one two three")


def test_a_fingerprint_is_the_same_for_ever() -> None:
    # What is stored in databases: sha256 of b"one two".
    assert fingerprint("one two") == "8ab63e29a4ba14e4e1688f9c15e5af90895421358c945b0431f85d66977bd3d2"


def test_each_word_for_an_outcome_means_its_ending() -> None:
    assert done("3 posts", posts=3) == Outcome(Ending.DONE, "3 posts", {"posts": 3})
    assert nothing_to_do("no post").ending is Ending.NOTHING_TO_DO
    assert over_budget("spent").ending is Ending.OVER_BUDGET
    assert skipped("paused").ending is Ending.SKIPPED


def test_what_a_site_says_is_made_fit_for_the_database() -> None:
    assert storable("too long\0: \ud83d") == "too long: ?"
    assert len(fingerprint("half a character \ud83d")) == 64
