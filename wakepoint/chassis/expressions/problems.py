"""What can be wrong with an expression, in words that its author understands.

The library reports in its own terms (status codes, parser token lists, operator overload names); nobody who wrote a
condition in a workflow knows those, so its texts are reworded here and nowhere else.
"""

from __future__ import annotations

import re


class InvalidExpression(ValueError):
    """An expression, or a template holding some, that cannot be compiled.

    `problems` has one (path, text) per faulty expression; the path is "" for a plain expression and like
    `headers.a[2]` in a template. `message` is all of them in one line.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        self.problems = problems
        self.message = "; ".join(f"{path}: {text}" if path else text for path, text in problems)
        super().__init__(self.message)


class ExpressionError(ValueError):
    """A compiled expression that has no value for these inputs (a missing key, a wrong type, too costly)."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


_COMPILE_LINE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_REWORDED = (
    (re.compile(r"undeclared reference to '(.*)' \(in container '.*'\)"), r"unknown name '\1'"),
    (re.compile(r"found no matching overload for '(.*)' applied to '(.*)'"), r"'\1' does not take \2"),
    (re.compile(r".*'<EOF>'.*"), "the expression ends too early"),
    (
        re.compile(r"(?:Syntax error: )?(?:mismatched|extraneous|no viable alternative at) input '(.*?)'.*"),
        r"unexpected '\1'",
    ),
    (re.compile(r"Syntax error: (.*)"), r"\1"),
    (re.compile(r".*recursion (?:depth|limit).*", re.DOTALL), "the expression nests too deeply"),
    (re.compile(r"Key not found in map : (.*)"), r"there is no key \1"),
    (re.compile(r"No matching overloads found : <jump_condition>"), "the condition before '?' is not a boolean"),
    (re.compile(r"No matching overloads found : (.*)"), r"values of the wrong type: \1"),
    (re.compile(r"Applying SELECT to non-message type"), "a field was asked of a value that has none"),
    (re.compile(r"Index error: index=(-?\d+) size=(\d+)"), r"index \1 is outside a list of \2"),
    (re.compile(r"Iteration budget exceeded"), "the expression loops too often"),
)
_OPERATOR = re.compile(r"\b_?(@in|[-!]_|_\W{1,2}_|_\[_\])")


def compile_problem(text: str) -> str:
    """The library's compile error, reworded: `line 1, column 5: unknown name 'jobb.nope'`, faults joined by "; "."""
    found = _COMPILE_LINE.findall(text)
    if not found:
        return _reword(text)
    faults = [
        (f"line {line}, column {column}: " if int(line) > 0 else "") + _reword(_STATUS.sub("", words))
        for line, column, words in found
    ]
    return "; ".join(dict.fromkeys(faults))


def runtime_problem(text: str) -> str:
    """The library's evaluation error without its status code and operator mangling."""
    return _reword(_STATUS.sub("", _STATUS.sub("", text)))


def _reword(text: str) -> str:
    for pattern, words in _REWORDED:
        if pattern.search(text):
            text = pattern.sub(words, text, count=1)
            break
    return _OPERATOR.sub(lambda match: match.group(1).strip("_@") or match.group(0), text)
