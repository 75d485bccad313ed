"""No condition and no glob can stop the service, whoever stored it."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trigger_service.domain import globs
from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.events import JobEvent
from trigger_service.domain.globs import MAX_PATTERN_CHARACTERS, glob_matches
from trigger_service.domain.limits import MAX_JOB_NAME_BYTES, MAX_JSON_BYTES
from trigger_service.domain.matching import ConditionError
from trigger_service.usecases import conditions
from trigger_service.usecases.conditions import Conditions

_LARGE = {
    "list": list(range(5_000)),
    "maps": [{"a": number} for number in range(3_000)],
    "text": "a" * 150_000,
}
_SMALLER = {**_LARGE, "list": [], "maps": [{"a": number} for number in range(2_000)]}
"""Over these a costly condition is still let through: a third of what one may cost by itself."""
CATASTROPHIC = [
    "job.attributes.list.all(a, job.attributes.list.all(b, a + b >= 0))",
    "job.attributes.list.all(x, job.attributes.text.size() > 1)",
    "job.attributes.list.map(x, job.attributes.text + 'a').size() > 0",
    "job.attributes.maps.map(x, job.attributes.maps.map(y, x.a + y.a)).size() > 0",
    "job.attributes.text.matches('(a+)+b')",
    "job.attributes.text.matches('(.*)(.*)(.*)(.*)(.*)[^a]')",
    "[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))",
    "(" * 1_000 + "true" + ")" * 1_000,
    "!" * 2_047 + "true",
    "x" * 1_000_000,
]
GLOBS = [
    "*a" * 127,
    "*" * 255,
    "*?" * 127,
    "[a-z]*" * 42,
    "*[ab]*" * 42,
    "*aaaa" * 50 + "b",
    "?*" * 127 + "x",
    "*a" * 500_000,
    "[" * 255,
    "[!" + "]" * 250,
]


def event(**attributes: Any) -> JobEvent:
    return JobEvent(experiment_id="e", job_id="j", job_type="TRAIN", status="COMPLETE", attributes=attributes)


def test_the_large_job_is_one_that_a_report_may_bring() -> None:
    assert len(json.dumps(_LARGE)) <= MAX_JSON_BYTES


@pytest.mark.parametrize(
    "text", CATASTROPHIC, ids=[f"{number}-{text[:40]}" for number, text in enumerate(CATASTROPHIC)]
)
def test_a_catastrophic_condition_ends_soon_or_is_refused(text: str) -> None:
    holds = Conditions().about(event(**_LARGE))
    began = time.process_time()
    with suppress(ConditionError):
        holds(text)
    assert time.process_time() - began < 2


def test_the_costly_conditions_of_many_workflows_share_a_budget_and_cheap_ones_need_none() -> None:
    holds = Conditions().about(event(**_SMALLER))
    costly = "job.attributes.maps.map(x, x.a).size() > 0"
    began = time.process_time()
    answers: list[bool | str] = []
    for _ in range(200):
        try:
            answers.append(holds(costly))
        except ConditionError as error:
            answers.append(str(error))
    assert time.process_time() - began < 10
    assert answers[0] is True
    assert answers[-1] == "the costly conditions of all workflows are too many for this job"
    assert holds("job.status == 'COMPLETE'")


def test_what_is_refused_by_itself_costs_the_others_nothing() -> None:
    holds = Conditions().about(event(**_SMALLER))
    for _ in range(100):
        with pytest.raises(ConditionError, match="too costly"):
            holds(CATASTROPHIC[3])
    assert holds("job.attributes.maps.map(x, x.a).size() > 0")


def test_a_condition_is_compiled_once_also_when_it_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Conditions()
    compiled: list[str] = []
    original = shared._expressions._compile

    def counted(text: str) -> Any:
        compiled.append(text)
        return original(text)

    monkeypatch.setattr(shared._expressions, "_compile", counted)
    for _ in range(50):
        assert shared.about(event())("job.attempt == 1")
        with pytest.raises(ConditionError):
            shared.about(event())("(((")
    assert compiled == ["job.attempt == 1", "((("]


def test_what_is_remembered_of_faulty_conditions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_REMEMBERED", 10)
    shared = Conditions()
    for number in range(30):
        with pytest.raises(ConditionError):
            shared.about(event())(f"((({number}")
    with pytest.raises(ConditionError):
        shared.about(event())("x" * 1_000_000)
    assert len(shared._faulty) == 10


@pytest.mark.parametrize("pattern", GLOBS, ids=[f"{number}-{pattern[:12]}" for number, pattern in enumerate(GLOBS)])
@pytest.mark.parametrize("name", ["a" * MAX_JOB_NAME_BYTES, "ab" * (MAX_JOB_NAME_BYTES // 2), ""])
def test_a_catastrophic_glob_is_answered_at_once(pattern: str, name: str) -> None:
    began = time.process_time()
    for _ in range(20):
        glob_matches(name, pattern)
    assert time.process_time() - began < 0.5


def test_a_pattern_that_is_too_long_matches_nothing() -> None:
    assert glob_matches("a", "*" * MAX_PATTERN_CHARACTERS)
    assert not glob_matches("a", "*" * (MAX_PATTERN_CHARACTERS + 1))
    config = TriggerConfig(trigger_type="TRAIN", is_enabled=True, job_name_pattern="*" * 10_000)
    assert not glob_matches("", config.job_name_pattern)


_PIECES = st.sampled_from(["*", "?", "a", "b", "[ab]", "[!a]", "[a-c]", "["])


@given(pieces=st.lists(_PIECES, max_size=8), name=st.text("abcd[", max_size=8))
@settings(max_examples=500, deadline=None)
def test_a_glob_says_what_trying_every_way_says(pieces: list[str], name: str) -> None:
    pattern = "".join(pieces)
    assert globs.glob_matches(name, pattern) is slowly(name, parsed(pattern))


def parsed(pattern: str) -> list[str]:
    """The pattern's parts: a `[` that nothing closes stands for itself."""
    parts, at = [], 0
    while at < len(pattern):
        closing = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        end = closing + 1 if closing > 0 else at + 1
        parts.append(pattern[at:end])
        at = end
    return parts


def slowly(name: str, parts: list[str]) -> bool:
    if not parts:
        return not name
    first, rest = parts[0], parts[1:]
    if first == "*":
        return any(slowly(name[cut:], rest) for cut in range(len(name) + 1))
    return bool(name) and fits(name[0], first) and slowly(name[1:], rest)


def fits(character: str, part: str) -> bool:
    if part == "?":
        return True
    if len(part) == 1:
        return character == part
    inner = part[1:-1]
    negated = inner.startswith("!")
    inner = inner.removeprefix("!")
    inside, at = False, 0
    while at < len(inner):
        is_range = inner[at + 1 : at + 2] == "-" and at + 2 < len(inner)
        last = inner[at + 2] if is_range else inner[at]
        inside = inside or inner[at] <= character <= last
        at += 3 if is_range else 1
    return inside is not negated
