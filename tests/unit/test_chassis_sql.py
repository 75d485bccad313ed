import pytest

from wakepoint.chassis import sql


def test_statements_are_found_by_name_with_the_name_in_front() -> None:
    queries = sql.parse(
        """-- This file is about runs.

-- name: lock_run
-- Why it is a statement of its own.
select state
  from runner.runs -- the one place
 where run_id = $1;

-- name: count_runs
select count(*) from runner.runs
""",
        source="runs.sql",
    )
    assert list(queries) == ["lock_run", "count_runs"]
    assert queries["lock_run"] == ("-- lock_run\nselect state\n  from runner.runs -- the one place\n where run_id = $1")
    assert queries["count_runs"] == "-- count_runs\nselect count(*) from runner.runs"


def test_an_unknown_name_says_where_it_was_looked_for() -> None:
    queries = sql.load("wakepoint.chassis", "migrations.sql")
    with pytest.raises(KeyError, match=r"wakepoint\.chassis/migrations\.sql has no statement named 'aplied'"):
        queries["aplied"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nselect 1;\n-- name: a\nselect 2;", r"x\.sql:3: 'a' is not a new"),
        ("-- name: Lock-Run\nselect 1;", "'Lock-Run' is not a new lower_snake_case name"),
        ("-- name:\nselect 1;", "'' is not a new"),
        ("-- name: a\n-- only a comment\n-- name: b\nselect 1;", "'a' has no statement"),
        ("-- name: a", "'a' has no statement"),
        ("select 1;\n-- name: a\nselect 1;", "SQL before the first"),
    ],
)
def test_a_malformed_file_is_refused_when_it_is_loaded(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        sql.parse(text, source="x.sql")
