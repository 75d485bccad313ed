"""`${CEL}` inside strings, anywhere in a JSON value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wakepoint.chassis.expressions.engine import Bound, Expressions, Program
from wakepoint.chassis.expressions.lexer import closing_brace
from wakepoint.chassis.expressions.problems import ExpressionError, InvalidExpression


@dataclass(frozen=True, slots=True)
class _Whole:
    """A string that is one expression and nothing else: the value keeps its type."""

    program: Program


@dataclass(frozen=True, slots=True)
class _Text:
    """A string with expressions among other characters: the value is text."""

    parts: tuple[str | Program, ...]


class Template:
    """A JSON value whose strings may hold `${expression}`.

    A string that is exactly one `${...}` becomes the expression's value with its type; elsewhere the value is written
    into the text (strings as they are, everything else as JSON). `$${` stands for a literal `${`. Keys of objects are
    left alone.
    """

    __slots__ = ("_tree", "is_constant")

    def __init__(self, tree: object, is_constant: bool) -> None:
        self._tree = tree
        self.is_constant = is_constant

    @classmethod
    def compile(cls, value: object, expressions: Expressions) -> Template:
        """Raises InvalidExpression with one problem, path and text, for every faulty expression in `value`."""
        compiler = _Compiler(expressions)
        tree = compiler.build(value, "")
        if compiler.problems:
            raise InvalidExpression(*compiler.problems)
        return cls(tree, compiler.programs == 0)

    def render(self, values: Mapping[str, object] | Bound) -> Any:
        """The value with every expression evaluated. Raises ExpressionError, naming the place of the first failure."""
        if self.is_constant:
            return _render(self._tree, Bound({}), "")
        return _render(self._tree, values if isinstance(values, Bound) else Bound(values), "")


class _Compiler:
    def __init__(self, expressions: Expressions) -> None:
        self._expressions = expressions
        self.problems: list[tuple[str, str]] = []
        self.programs = 0

    def build(self, value: object, path: str) -> object:
        match value:
            case str():
                return self._string(value, path)
            case Mapping():
                return {key: self.build(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
            case list() | tuple():
                return [self.build(item, f"{path}[{index}]") for index, item in enumerate(value)]
            case _:
                return value

    def _string(self, text: str, path: str) -> object:
        try:
            parts = self._parts(text)
        except InvalidExpression as error:
            self.problems.extend((path, words) for _, words in error.problems)
            return text
        match parts:
            case []:
                return ""
            case [str() as only]:
                return only
            case [Program() as only]:
                return _Whole(only)
            case _:
                return _Text(tuple(parts))

    def _parts(self, text: str) -> list[str | Program]:
        parts: list[str | Program] = []
        literal, position = "", 0
        while (found := text.find("${", position)) >= 0:
            if found > position and text[found - 1] == "$":
                literal += text[position : found - 1] + "${"
                position = found + 2
                continue
            end = closing_brace(text, found + 2)
            if end < 0:
                raise InvalidExpression(("", f"the '${{' at column {found + 1} is never closed"))
            parts += [literal + text[position:found]] if literal or found > position else []
            parts.append(self._expressions.compile(text[found + 2 : end].strip()))
            self.programs += 1
            literal, position = "", end + 1
        rest = literal + text[position:]
        return [*parts, rest] if rest else parts


def _render(node: object, bound: Bound, path: str) -> Any:
    match node:
        case _Whole():
            return _evaluate(node.program, bound, path)
        case _Text():
            return "".join(
                part if isinstance(part, str) else _text(_evaluate(part, bound, path)) for part in node.parts
            )
        case dict():
            return {key: _render(item, bound, f"{path}.{key}".lstrip(".")) for key, item in node.items()}
        case Sequence() if not isinstance(node, str):
            return [_render(item, bound, f"{path}[{index}]") for index, item in enumerate(node)]
        case _:
            return node


def _evaluate(program: Program, bound: Bound, path: str) -> Any:
    try:
        return program.evaluate(bound)
    except ExpressionError as error:
        raise ExpressionError(f"{path}: {error.message}" if path else error.message) from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
