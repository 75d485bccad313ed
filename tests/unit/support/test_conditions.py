import pytest

from tests.support.conditions import eventually, eventually_sync
from tests.support.postgres import with_database


async def test_eventually_returns_the_first_true_result() -> None:
    results = iter([0, None, "third", "fourth"])
    assert await eventually(lambda: next(results)) == "third"


async def test_eventually_takes_a_failed_assertion_for_not_yet_and_any_other_error_for_an_error() -> None:
    calls: list[int] = []

    def check() -> bool:
        calls.append(len(calls))
        assert len(calls) > 1, "too early"
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await eventually(check)
    assert calls == [0, 1]


async def test_eventually_gives_up_naming_what_it_saw_last() -> None:
    with pytest.raises(AssertionError, match=r"last seen: AssertionError.*too early"):
        await eventually(_not_yet, timeout=0.05)
    with pytest.raises(AssertionError, match=r"not true within 0.05 s; last seen: \[\]"):
        eventually_sync(list, timeout=0.05)


def _not_yet() -> bool:
    raise AssertionError("too early")


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p%40@127.0.0.1:5/old", "postgresql://u:p%40@127.0.0.1:5/new"),
        ("postgresql://u@h/old?sslmode=require", "postgresql://u@h/new?sslmode=require"),
        ("postgresql:///old?host=/tmp", "postgresql:///new?host=/tmp"),
        ("postgresql://u@h", "postgresql://u@h/new"),
    ],
)
def test_only_the_database_of_a_dsn_is_exchanged(dsn: str, expected: str) -> None:
    assert with_database(dsn, "new") == expected
