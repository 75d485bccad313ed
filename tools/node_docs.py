"""Writes the part of docs/nodes.md that follows from the node types' docstrings and properties.

`python tools/node_docs.py` rewrites the file; a test says when that was forgotten.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner_service import nodes
from runner_service.nodes.registry import NodeRegistry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "nodes.md"
MARKER = "<!-- From here on written by tools/node_docs.py, from the docstrings in runner_service/nodes. -->\n"


def generated() -> str:
    """The generated part, for the node types that come with the runner."""
    described = NodeRegistry([getattr(nodes, name) for name in nodes.__all__]).describe()
    common = next(one for one in described if one.type == "Manual").properties_schema
    parts = ["## Node types\n"]
    for kind, title in (("trigger", "Triggers"), ("wait", "Waits"), ("work", "Work")):
        parts.append(f"{title}: " + ", ".join(f"[{o.type}](#{o.type.lower()})" for o in described if o.kind == kind))
    parts.append("\n### Properties of every trigger\n")
    parts.append(_table(common, {}))
    for one in described:
        outputs = ", ".join(f"`{name}`" for name in one.outputs)
        parts.append(f"\n### {one.type}\n\n{one.description}\n\nOutputs: {outputs}.")
        table = _table(one.properties_schema, common["properties"] if one.kind == "trigger" else {})
        parts += ["", table] if table else []
    return "\n".join(parts) + "\n"


def _table(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_type(field)} | {_default(name, field, required)} | {' '.join(field['description'].split())} |"
        for name, field in schema.get("properties", {}).items()
        if name not in known
    ]
    return "\n".join(["| property | type | default | meaning |", "| --- | --- | --- | --- |", *rows]) if rows else ""


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("format") == "date-time":
        return "time"
    names = {"string": "text", "object": "object", "integer": "integer", "number": "number", "boolean": "true or false"}
    return names.get(str(field.get("type")), "any")


def _default(name: str, field: Mapping[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    value = field.get("default")
    return "" if value in (None, "") else f"`{json.dumps(value)}`"


def main() -> None:
    """Rewrite docs/nodes.md."""
    head, _, _ = DOCS.read_text(encoding="utf-8").partition(MARKER)
    DOCS.write_text(head + MARKER + "\n" + generated(), encoding="utf-8")


if __name__ == "__main__":
    main()
