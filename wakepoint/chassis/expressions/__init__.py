"""CEL over plain Python values: compiled once, bounded, and with error messages of our own.

::

    expressions = Expressions(["job"])
    program = expressions.compile("job.job_name == 'nightly' && job.attributes.accuracy > 0.9")
    program.evaluate({"job": {"job_name": "nightly", "attributes": {"accuracy": 0.95}}})  # True

    template = Template.compile({"text": "run ${run.run_id}", "n": "${inputs.n + 1}"}, Expressions(["run", "inputs"]))
    template.render({"run": {"run_id": "r1"}, "inputs": {"n": 1}})  # {"text": "run r1", "n": 2}
"""

from wakepoint.chassis.expressions.engine import MAX_COST, MAX_TEXT, Bound, Expressions, Program
from wakepoint.chassis.expressions.problems import ExpressionError, InvalidExpression
from wakepoint.chassis.expressions.template import Template

__all__ = [
    "MAX_COST",
    "MAX_TEXT",
    "Bound",
    "ExpressionError",
    "Expressions",
    "InvalidExpression",
    "Program",
    "Template",
]
