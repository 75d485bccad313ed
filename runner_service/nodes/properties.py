"""A node type's properties: what a graph may say, and what a node is built from."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from runner_service.nodes.cel import RUN_EXPRESSIONS
from wakepoint.chassis.errors import FieldViolation, Violations
from wakepoint.chassis.expressions import Bound, ExpressionError, Expressions, InvalidExpression, Template
from wakepoint.chassis.protojson import check_text
from wakepoint.nodes import RUN_VARIABLES, Node, NodeError, TriggerNode


class NodeProperties:
    """The properties of one node class. Expressions are compiled once."""

    def __init__(self, node_class: type[Node]) -> None:
        self._class = node_class
        self._cel: dict[str, Expressions] = {}
        self._fixed: set[str] = set()
        # Strict JSON takes text for a time but not for a number. A validator that comes before the fields sees Python
        # values, for which strict would also refuse a list where a tuple is wanted.
        validators = node_class.__pydantic_decorators__.model_validators.values()
        self._strict = all(validator.info.mode == "after" for validator in validators)
        for name, field in node_class.model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            if (variables := extra.get("cel_variables")) is not None:
                names = tuple(map(str, variables)) if isinstance(variables, list) else RUN_VARIABLES
                self._cel[name] = RUN_EXPRESSIONS if names == RUN_VARIABLES else Expressions(names)
            elif extra.get("fixed"):
                self._fixed.add(name)

    def faults(self, properties: Mapping[str, Any]) -> list[FieldViolation]:
        """Everything that is wrong with a graph's properties, each with its path."""
        texts = Violations()
        check_text(dict(properties), "", texts)
        if unstorable := list(texts):
            return unstorable
        computed, faults = set[str](), list[FieldViolation]()
        for name, value in properties.items():
            is_template, wrong = self._expression_faults(name, value)
            faults += wrong
            if is_template or wrong:
                computed.add(name)
        faults += (fault for fault in self._value_faults(properties) if _first_part(fault.field) not in computed)
        if issubclass(self._class, TriggerNode) and type(properties.get("max_events", 1)) is not int and not faults:
            # Whoever plans the graph reads it as it stands there, whatever a class's own validators make of it.
            faults.append(FieldViolation("max_events", "must be an integer"))
        return faults

    def build(self, node_id: str, properties: Mapping[str, Any], values: Mapping[str, Any]) -> Node:
        """A node with its templates rendered over `values`. Raises NodeError, final, naming the property at fault."""
        rendered = self._render(properties, values)
        try:
            return self._class(id=node_id, **rendered)
        except ValidationError as error:
            raise NodeError(_told(_violations(error)), retryable=False) from None

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the properties."""
        schema = self._class.model_json_schema()
        schema.get("properties", {}).pop("id", None)
        return {key: value for key, value in schema.items() if key not in ("title", "description")}

    def _expression_faults(self, name: str, value: Any) -> tuple[bool, list[FieldViolation]]:
        """Whether the property is computed in the run, and what is wrong with its expressions."""
        try:
            if name in self._cel:
                if isinstance(value, str):
                    self._cel[name].compile(value)
                return False, []
            is_template = not Template.compile(value, RUN_EXPRESSIONS).is_constant
        except InvalidExpression as error:
            return False, [FieldViolation(_joined(name, path), text) for path, text in error.problems]
        if is_template and name in self._fixed:
            return False, [FieldViolation(name, "must be a plain value: it is read outside of the run")]
        return is_template, []

    def _value_faults(self, properties: Mapping[str, Any]) -> Iterator[FieldViolation]:
        if "id" in properties:
            yield FieldViolation("id", "unknown property")
        given = {name: value for name, value in properties.items() if name != "id"}
        try:
            self._class.model_validate_json(json.dumps(given, allow_nan=False), strict=self._strict)
        except ValidationError as error:
            yield from _violations(error)
        except Exception as error:  # noqa: BLE001 -- an author's own __init__ or validator may raise anything
            yield FieldViolation("", f"{type(error).__name__}: {error}")

    def _render(self, properties: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        rendered: dict[str, Any] = {}
        bound: Bound | None = None
        for name, value in properties.items():
            if name in self._cel:
                rendered[name] = value
                continue
            try:
                template = Template.compile(value, RUN_EXPRESSIONS)
                if not template.is_constant:
                    bound = bound or RUN_EXPRESSIONS.bind(values)
                rendered[name] = template.render(bound or {})
            except (ExpressionError, InvalidExpression) as error:
                raise NodeError(f"property {name}: {error.message}", retryable=False) from None
        return rendered


def _violations(error: ValidationError) -> list[FieldViolation]:
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        text = "unknown property" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        first, *rest = item["loc"] or ("",)
        found.append(FieldViolation(str(first) + "".join(_part(part) for part in rest), text))
    return found


def _part(part: int | str) -> str:
    return f"[{part}]" if isinstance(part, int) else f".{part}"


def _joined(name: str, path: str) -> str:
    return f"{name}{path}" if not path or path.startswith("[") else f"{name}.{path}"


def _first_part(field: str) -> str:
    return re.split(r"[.\[]", field, maxsplit=1)[0]


def _told(violations: list[FieldViolation]) -> str:
    return "; ".join(f"property {v.field}: {v.description}" if v.field else v.description for v in violations)
