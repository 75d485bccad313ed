"""`${CEL}` inside strings and nested JSON."""

import pytest

from wakepoint.chassis.expressions import ExpressionError, Expressions, InvalidExpression, Template

VALUES = {
    "inputs": {"n": 2, "name": "ada", "list": [1, "x"], "ok": True, "none": None, "x": 0.5},
    "run": {"run_id": "r1"},
}


@pytest.fixture(scope="module")
def expressions() -> Expressions:
    return Expressions(["inputs", "run"])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${inputs.n}", 2),
        ("${ inputs.list }", [1, "x"]),
        ("${inputs.none}", None),
        ("n is ${inputs.n}", "n is 2"),
        ("${inputs.n}${inputs.n}", "22"),
        ("${inputs.name}/${run.run_id}", "ada/r1"),
        ("${inputs.list} ${inputs.ok} ${inputs.none} ${inputs.x}", '[1,"x"] true null 0.5'),
        ("$${inputs.n}", "${inputs.n}"),
        ("$${inputs.n} ${inputs.n} $${", "${inputs.n} 2 ${"),
        ("costs 5$ or $5 {a}", "costs 5$ or $5 {a}"),
        ("", ""),
        ("${'}'}", "}"),
        ("${\"}\" + '{'}", "}{"),
        ("${r'\\}' + '\\'}'}", "\\}'}"),
        ("${'''}'''}!", "}!"),
        ("${{'a': {'b': inputs.n}}}", {"a": {"b": 2}}),
        ("<${{'a': 1}['a']}>", "<1>"),
        ("${inputs.n // a comment with }\n + 1}", 3),
        ("${'${inputs.n}'}", "${inputs.n}"),
        (7, 7),
        (None, None),
        ({"a": ["${inputs.n}", {"b": "x${inputs.n}"}], "c": True}, {"a": [2, {"b": "x2"}], "c": True}),
        ({"${inputs.n}": 1}, {"${inputs.n}": 1}),
    ],
)
def test_a_template_renders(expressions: Expressions, template: object, expected: object) -> None:
    assert Template.compile(template, expressions).render(VALUES) == expected


def test_every_faulty_expression_of_a_template_is_named_with_its_place(expressions: Expressions) -> None:
    value = {"url": "${nope.a}", "headers": {"x": ["fine", "${1 +}"]}, "open": "a ${inputs.n", "good": "${inputs.n}"}
    with pytest.raises(InvalidExpression) as caught:
        Template.compile(value, expressions)
    assert [path for path, _ in caught.value.problems] == ["url", "headers.x[1]", "open"]
    assert "unknown name 'nope.a'" in caught.value.message
    assert "the '${' at column 3 is never closed" in caught.value.message


def test_a_missing_value_names_its_place(expressions: Expressions) -> None:
    template = Template.compile({"body": {"a": ["${inputs.gone}"]}}, expressions)
    with pytest.raises(ExpressionError, match=r'^body\.a\[0\]: there is no key "gone"$'):
        template.render(VALUES)


def test_a_template_without_expressions_needs_no_values(expressions: Expressions) -> None:
    template = Template.compile({"a": "b", "c": "$${x}"}, expressions)
    assert template.is_constant
    assert template.render({}) == {"a": "b", "c": "${x}"}
    assert not Template.compile("${inputs.n}", expressions).is_constant
