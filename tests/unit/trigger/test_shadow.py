"""Pairing what we would have queued with what another system queued."""

from hypothesis import given
from hypothesis import strategies as st

from trigger_service.domain.shadow import Comparison, Difference


def test_a_match_and_a_run_of_the_same_workflow_are_one_whichever_came_first() -> None:
    comparison = Comparison(patience=10)
    comparison.ours("1", "job a", 0)
    comparison.theirs("1", "run a", 9)
    comparison.theirs("1", "run b", 9)
    comparison.ours("1", "job b", 18)
    assert comparison.overdue(100) == []
    assert (comparison.agreed, comparison.differences, comparison.is_settled) == (2, 0, True)


def test_what_stays_alone_is_told_once_when_its_time_is_up() -> None:
    comparison = Comparison(patience=10)
    comparison.ours("1", "job", 0)
    comparison.theirs("2", "run", 5)
    assert comparison.overdue(9.9) == []
    assert comparison.overdue(10) == [Difference("1", True, "job")]
    assert comparison.overdue(10) == []
    assert comparison.overdue(11, all_of_them=True) == [Difference("2", False, "run")]
    assert comparison.differences == 2


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=40))
def test_the_differences_are_what_one_side_has_more_of_whatever_the_order(moves: list[tuple[bool, str]]) -> None:
    comparison = Comparison(patience=1)
    for is_ours, key in moves:
        (comparison.ours if is_ours else comparison.theirs)(key, "x", 0)
    surplus = {key: moves.count((True, key)) - moves.count((False, key)) for key in "abc"}
    found = comparison.overdue(0, all_of_them=True)
    assert len(found) == sum(map(abs, surplus.values()))
    assert all(item.is_ours == (surplus[item.workflow_key] > 0) for item in found)
    assert comparison.agreed == sum(min(moves.count((True, key)), moves.count((False, key))) for key in "abc")
