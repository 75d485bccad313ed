"""Compiling and evaluating one CEL expression."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from cel_expr_python import cel

from wakepoint.chassis.expressions.lexer import Shape, shape
from wakepoint.chassis.expressions.problems import ExpressionError, InvalidExpression, compile_problem, runtime_problem
from wakepoint.chassis.expressions.values import Measure, from_cel

MAX_TEXT = 2_048
"""Longest expression, in characters."""

MAX_COST = 100_000_000
"""Largest predicted work (see `Shape.cost`): below a second and a few hundred MB for the worst expressions found."""

_MAX_MACRO_DEPTH = 3


class Bound:
    """Values made ready for many evaluations: walk them once, evaluate a thousand conditions over them."""

    __slots__ = ("data", "longest", "size")

    def __init__(self, values: Mapping[str, object]) -> None:
        measure = Measure()
        self.data: dict[str, Any] = {name: measure.convert(value) for name, value in values.items()}
        self.size = measure.size
        self.longest = measure.longest


class Program:
    """A compiled expression. Safe to share between tasks and threads: evaluating changes nothing in it."""

    __slots__ = ("_compiled", "_shape", "text")

    def __init__(self, text: str, compiled: cel.Expression, measured: Shape) -> None:
        self.text = text
        self._compiled = compiled
        self._shape = measured

    def cost(self, values: Bound) -> int:
        """Upper bound of the work over these values, in the units of which one evaluation may cost 100 million."""
        return self._shape.cost(values.size, values.longest)

    def evaluate(self, values: Mapping[str, object] | Bound) -> Any:
        """The expression's value as JSON can hold it (see `from_cel`).

        `values`: one plain Python value per variable name. Never blocks for long: a combination of expression and
        values that might is refused beforehand. Raises ExpressionError when there is no value.
        """
        bound = values if isinstance(values, Bound) else Bound(values)
        if self.cost(bound) > MAX_COST:
            raise ExpressionError("the expression is too costly for values of this size")
        try:
            result = self._compiled.eval(data=bound.data)
            if result.type() == cel.Type.ERROR:
                raise ExpressionError(runtime_problem(str(result.plain_value())))
            return from_cel(result.plain_value())
        except (RuntimeError, RecursionError) as error:  # RecursionError is a RuntimeError, named for the reader
            raise ExpressionError(runtime_problem(str(error))) from None

    def evaluate_bool(self, values: Mapping[str, object] | Bound) -> bool:
        """For conditions: the value, which must be a boolean. Raises ExpressionError when it is anything else."""
        value = self.evaluate(values)
        if not isinstance(value, bool):
            raise ExpressionError("the expression's value is not a boolean")
        return value


class Expressions:
    """Compiles expressions over a fixed set of variable names and remembers the programs used last.

    Variables are untyped (`dyn`), so fields, indexing and comparisons between int and float work over plain dicts; a
    name that is not a variable is refused when compiling, a missing key when evaluating (`has(job.x)` asks first).
    Arithmetic does not mix int and float, as CEL has it: write `double(inputs.n) * 0.5`.
    """

    def __init__(self, variables: Collection[str], *, cache_size: int = 1_024) -> None:
        self._variables = frozenset(variables)
        self._environment = cel.NewEnv(variables=dict.fromkeys(sorted(variables), cel.Type.DYN))
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._cache_size = cache_size
        self._lock = threading.Lock()

    def compile(self, text: str) -> Program:
        """Raises InvalidExpression when `text` is too long, is not CEL, or uses an unknown name."""
        with self._lock:
            known = self._programs.get(text)
            if known is None:
                known = self._programs[text] = self._compile(text)
                if len(self._programs) > self._cache_size:
                    self._programs.popitem(last=False)
            else:
                self._programs.move_to_end(text)
            return known

    def bind(self, values: Mapping[str, object]) -> Bound:
        """Make values ready for many evaluations. Raises ExpressionError for what no expression can look at."""
        return Bound(values)

    def _compile(self, text: str) -> Program:
        if not text.strip():
            raise InvalidExpression(("", "the expression is empty"))
        if len(text) > MAX_TEXT:
            raise InvalidExpression(("", f"the expression is longer than {MAX_TEXT} characters"))
        if "\0" in text or not _is_unicode(text):
            raise InvalidExpression(("", "the expression holds a NUL or a lone surrogate"))
        try:
            compiled = self._environment.compile(text)
        except RuntimeError as error:
            raise InvalidExpression(("", compile_problem(str(error)))) from None
        measured = shape(text, self._variables)
        if measured.depth > _MAX_MACRO_DEPTH:
            raise InvalidExpression(("", f"macros nest deeper than {_MAX_MACRO_DEPTH} levels"))
        return Program(text, compiled, measured)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
