"""Compiling and evaluating CEL over plain Python values."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wakepoint.chassis.expressions import MAX_TEXT, ExpressionError, Expressions, InvalidExpression

JOB = {"job_name": "nightly", "attributes": {"accuracy": 0.95, "epochs": 3, "tags": ["a", "b"], "nothing": None}}


@pytest.fixture(scope="module")
def expressions() -> Expressions:
    return Expressions(["job", "inputs"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("job.job_name == 'nightly' && job.attributes.accuracy > 0.9", True),
        ("job.attributes.epochs > 2.5", True),
        ("job.attributes.nothing == null", True),
        ("has(job.nope)", False),
        ("'b' in job.attributes.tags", True),
        ("job.attributes.tags.map(t, t + '!')", ["a!", "b!"]),
        ("{'n': job.attributes.epochs + 1, 'x': [1, 2.5, null]}", {"n": 4, "x": [1, 2.5, None]}),
        ("true || job.nope", True),
        ("1u", 1),
        ("{1: true}", {"1": True}),
        ("timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05Z"),
        ("duration('90m')", "5400s"),
        ("duration('1.5s')", "1.5s"),
        ("b'hi'", "aGk="),
        ("type(1)", "int"),
    ],
)
def test_a_result_is_what_json_can_hold(expressions: Expressions, text: str, expected: object) -> None:
    result = expressions.compile(text).evaluate({"job": JOB, "inputs": {}})
    assert (result, type(result)) == (expected, type(expected))


def test_times_and_tuples_can_be_looked_at(expressions: Expressions) -> None:
    inputs = {"at": datetime(2026, 5, 1, tzinfo=UTC), "took": timedelta(minutes=2), "pair": (1, 2)}
    program = expressions.compile(
        "inputs.at.getFullYear() == 2026 && inputs.took > duration('1m') && inputs.pair[1] == 2 "
        "&& inputs.at > timestamp('2026-04-30T00:00:00Z')"
    )
    assert program.evaluate({"inputs": inputs, "job": None}) is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobb.x == 1", "unknown name 'jobb.x'"),
        ("nope", "line 1, column 1: unknown name 'nope'"),
        ("1 +", "the expression ends too early"),
        ("", "the expression is empty"),
        ("   ", "the expression is empty"),
        ("'a' + 1", "does not take (string, int)"),
        ("job.x.upper()", "unknown name 'upper'"),
        ("1 ! 2", "unexpected"),
        ("'open", "line 1"),
        ("(" * 60 + "1" + ")" * 60, "nests too deeply"),
        ("1" + "+1" * 60, "nests too deeply"),
        ("job.a == '" + "x" * MAX_TEXT + "'", "longer than 2048 characters"),
        ("job == '\0'", "NUL"),
        ("job == '\ud800'", "surrogate"),
        ("[1].map(a, [a].map(b, [b].map(c, [c].map(d, d))))", "macros nest deeper than 3 levels"),
    ],
)
def test_a_faulty_expression_is_refused_in_our_words(expressions: Expressions, text: str, words: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        expressions.compile(text)
    assert words in caught.value.message
    for foreign in ("INVALID_ARGUMENT", "<input>", "container", "CANCELLED", "expecting {", "\n"):
        assert foreign not in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("job.nope", 'there is no key "nope"'),
        ("job.job_name.first", "a field was asked of a value that has none"),
        ("job.job_name > 1", "values of the wrong type"),
        ("job.job_name ? 1 : 2", "not a boolean"),
        ("job.attributes.tags[7]", "index 7 is outside a list of 2"),
        ("1 / job.attributes.zero", "there is no key"),
        ("1 / 0", "divide by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("[job.nope]", "there is no key"),
        ("double('1e999')", "not a finite number"),
        ("inputs.big.all(a, a >= 0)", "loops too often"),
    ],
)
def test_an_expression_without_a_value_says_why(expressions: Expressions, text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile(text).evaluate({"job": JOB, "inputs": {"big": list(range(10_001))}})
    assert words in caught.value.message
    assert not {"NOT_FOUND", "UNKNOWN"} & set(caught.value.message.replace(":", " ").split())


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "NUL"),
        ({"a\0b": 1}, "NUL"),
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        (2**63, "64-bit"),
        (-(2**63) - 1, "64-bit"),
        ({1: 2}, "map keys must be text"),
        ({"a": {1, 2}}, "type set"),
        (object(), "type object"),
        (datetime(2026, 1, 1), "type datetime"),  # noqa: DTZ001 - a naive time is what is refused
        (_nested(5_000), "nest deeper than 100"),
    ],
)
def test_a_value_that_cel_would_misread_is_refused(expressions: Expressions, value: object, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        expressions.compile("inputs == inputs").evaluate({"inputs": value, "job": None})


def test_a_cyclic_value_is_refused(expressions: Expressions) -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(ExpressionError, match="nest deeper"):
        expressions.compile("job").evaluate({"job": value, "inputs": 1})


def test_a_missing_variable_is_an_expression_error(expressions: Expressions) -> None:
    with pytest.raises(ExpressionError):
        expressions.compile("job.x").evaluate({})


def test_a_condition_must_be_a_boolean(expressions: Expressions) -> None:
    assert expressions.compile("job.job_name == 'nightly'").evaluate_bool({"job": JOB}) is True
    with pytest.raises(ExpressionError, match="not a boolean"):
        expressions.compile("1").evaluate_bool({"job": JOB})


BIG_TEXT = "a" * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "inputs.list.all(a, inputs.text.size() > 1)",
        "size(inputs.list.map(a, inputs.text + 'a')) > 0",
        "inputs.list.all(a, inputs.text.matches('(a|b)*c'))",
        "inputs.list.map(x, {'a': x})",
        "inputs.list.filter(x, x > 0)",
        "[inputs.text + inputs.text].map(a, [a + a + a].map(b, [b + b + b].map(c, c + c + c)))",
        "inputs.list.all(a, inputs.list.all(b, a + b >= 0))",
        "inputs.list.map(x, inputs.list)",
        "[inputs.text].map(t, inputs.list.map(x, t + 'a'))",
        "size(" + "+".join(["(" + "+".join(["inputs.text"] * 12) + ")"] * 12) + ")",
    ],
)
def test_no_expression_takes_long(expressions: Expressions, text: str) -> None:
    program = expressions.compile(text)
    values = expressions.bind({"inputs": {"list": list(range(9_000)), "text": BIG_TEXT}, "job": None})
    began = time.perf_counter()
    with pytest.raises(ExpressionError, match=r"too costly|too often"):
        program.evaluate(values)
    assert time.perf_counter() - began < 1.0


def test_ordinary_work_on_large_values_is_allowed(expressions: Expressions) -> None:
    inputs = {"rows": [{"name": f"row {index}", "score": index / 10} for index in range(2_000)], "text": BIG_TEXT}
    values = expressions.bind({"inputs": inputs, "job": JOB})
    assert expressions.compile("inputs.rows.exists(r, r.score > 199.0)").evaluate(values) is True
    assert len(expressions.compile("inputs.rows.filter(r, r.name.endsWith('7'))").evaluate(values)) == 200
    assert expressions.compile("inputs.text.contains('b') || job.job_name == 'nightly'").evaluate(values) is True


def test_programs_are_remembered_and_the_oldest_forgotten() -> None:
    expressions = Expressions(["job"], cache_size=2)
    first = expressions.compile("job.a")
    expressions.compile("job.b")
    assert expressions.compile("job.a") is first
    expressions.compile("job.c")
    assert expressions.compile("job.a") is first
    expressions.compile("job.d")
    expressions.compile("job.e")
    assert expressions.compile("job.a") is not first


def test_threads_may_share_programs() -> None:
    expressions = Expressions(["job"], cache_size=3)
    wrong: list[object] = []

    def work(offset: int) -> None:
        for turn in range(300):
            factor = (turn + offset) % 7
            result = expressions.compile(f"job.n * {factor}").evaluate({"job": {"n": turn}})
            if result != turn * factor:
                wrong.append((turn, factor, result))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
