"""CEL's tokens, enough to find where an expression ends and what it may cost at worst.

The library has an iteration budget (10,000, fixed in 0.1.3) and a nesting limit (32), but nothing that bounds the work
of one iteration: `list.map(x, job.text + 'a')` copies the whole text each time, and it cannot be interrupted, because
it holds the interpreter lock. So the worst case is computed from the text and the size of the values beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_ITERATION_BUDGET = 10_000
_LIST_WEIGHT = 8  # `map` and `filter` copy the list built so far for each element: 9,000 elements took 4.3 s and 1.3 GB
_MATCHES_WEIGHT = 64  # a regular expression may look at a byte this often, where others look once
_TOKEN = re.compile(
    r'''(?P<string>(?:[rR][bB]?|[bB][rR])(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"[^"\n]*"|'[^'\n]*')'''
    r'''|[bB]?(?:"""(?:\\[\s\S]|[^\\])*?"""|\'\'\'(?:\\[\s\S]|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))'''
    r"|(?P<space>\s+|//[^\n]*)|(?P<name>[A-Za-z_]\w*|`[^`\n]*`)|(?P<number>\d[\w.]*)|(?P<mark>==|!=|<=|>=|&&|\|\||[\s\S])"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an expression's worst case depends on."""

    operations: int  # calls, comparisons and additions, weighted; at least 1
    growth: int  # by how much one level of a macro may multiply the size of its elements
    depth: int  # macros inside macros, at most
    captures: int  # of those nested ones, how many look at more than their own element
    lists: int  # `map` and `filter` macros

    def cost(self, size: int, longest: int) -> int:
        """Upper bound of the work over values of `size` units, whose longest list or map has `longest` elements."""
        elements = (longest + self.growth) * self.growth
        looking = size * self.operations * self.growth**self.depth * min(_ITERATION_BUDGET, elements**self.captures)
        rebuilt = min(_ITERATION_BUDGET, elements ** max(0, self.captures - 1))
        building = self.lists * _LIST_WEIGHT * (longest + self.growth) ** 2 * rebuilt
        return int(looking + building)


@dataclass(slots=True)
class _Macro:
    closes_at: int
    outer: frozenset[str]
    variable: str
    captures: int = 0


@dataclass(slots=True)
class _Scan:
    variables: frozenset[str]
    stack: list[_Macro] = field(default_factory=list)
    depth: int = 0
    captures: int = 0

    def enter(self, level: int, variable: str) -> None:
        outer = self.variables | {macro.variable for macro in self.stack}
        self.stack.append(_Macro(level, outer, variable))
        self.depth = max(self.depth, len(self.stack))

    def name(self, name: str) -> None:
        for macro in self.stack:
            if name in macro.outer:
                macro.captures = 1
        self.captures = max(self.captures, sum(macro.captures for macro in self.stack))

    def leave(self, level: int) -> None:
        if self.stack and self.stack[-1].closes_at == level:
            self.stack.pop()


def tokens(text: str, start: int = 0) -> Iterator[tuple[str, str, int]]:
    """(kind, text, end offset) of each token from `start`, without spaces and comments.

    Kinds: string, name, number, mark.
    """
    for match in _TOKEN.finditer(text, start):
        if match.lastgroup != "space":
            yield match.lastgroup or "mark", match.group(), match.end()


def closing_brace(text: str, start: int) -> int:
    """Offset of the `}` that ends the expression begun at `start`, or -1; those in strings and maps do not count."""
    open_braces = 0
    for kind, lexeme, end in tokens(text, start):
        if kind != "mark":
            continue
        if lexeme == "{":
            open_braces += 1
        elif lexeme == "}":
            if open_braces == 0:
                return end - 1
            open_braces -= 1
    return -1


def shape(text: str, variables: Collection[str]) -> Shape:
    """Measure an expression that compiled; `variables` are the names it may use."""
    found = [(kind, lexeme) for kind, lexeme, _ in tokens(text)]
    marks = [lexeme for kind, lexeme in found if kind == "mark"]
    scan = _Scan(frozenset(variables))
    level = 0
    macros, lists = 0, 0
    operations = 1 + sum(marks.count(mark) for mark in ("+", "==", "!=", "<", ">", "<=", ">=", "["))
    for index, (kind, lexeme) in enumerate(found):
        before = found[index - 1][1] if index else ""
        after = found[index + 1][1] if index + 1 < len(found) else ""
        match kind, lexeme:
            case "mark", "(":
                level += 1
            case "mark", ")":
                scan.leave(level)
                level -= 1
            case "name", _ if before == "." and after == "(" and lexeme in _MACROS:
                macros += 1
                lists += lexeme in {"map", "filter"}
                scan.enter(level + 1, found[index + 2][1] if index + 2 < len(found) else "")
            case "name", _ if after == "(" or lexeme == "in":
                operations += _MATCHES_WEIGHT if lexeme == "matches" else 1
            case "name", _ if before != ".":
                scan.name(lexeme)
    growth = 1 + marks.count("+") + max(0, marks.count(",") - macros)
    return Shape(operations, growth, scan.depth, scan.captures, lists)
