"""Path templates such as `/v1/runs/{run_id}/nodes/{node_id}:wake`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

_TEMPLATE = re.compile(r"(?P<path>(?:/[^/:]+)+)(?::(?P<verb>[A-Za-z][A-Za-z0-9_]*))?")
_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
_VARIABLE = re.compile(r"\{(?P<field>[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*)(?:=\*)?\}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A segment that a field of the request stands for; `field` is its path, such as `workflow.workflow_id`."""

    field: str


@dataclass(frozen=True, slots=True)
class Path:
    """A request's path: its segments decoded, and the custom verb behind the last one ("" for none)."""

    segments: tuple[str, ...]
    verb: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. Segments are literal text or variables; each variable is one whole segment."""

    text: str
    segments: tuple[str | Variable, ...]
    verb: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The field paths of the variables."""
        return tuple(segment.field for segment in self.segments if isinstance(segment, Variable))

    @property
    def shape(self) -> tuple[object, ...]:
        """Two templates of one shape match the same paths."""
        return (*(None if isinstance(segment, Variable) else segment for segment in self.segments), ":", self.verb)

    @property
    def vagueness(self) -> tuple[bool, ...]:
        """Sorts literal segments before variables, the leftmost difference deciding."""
        return tuple(isinstance(segment, Variable) for segment in self.segments)

    def match(self, path: Path) -> Mapping[str, str] | None:
        """The variables' texts by field path; None where the path is another one."""
        if path.verb != self.verb or len(path.segments) != len(self.segments):
            return None
        found: dict[str, str] = {}
        for wanted, given in zip(self.segments, path.segments, strict=True):
            if isinstance(wanted, Variable):
                if not given:
                    return None
                found[wanted.field] = given
            elif wanted != given:
                return None
        return found


def parse_template(text: str) -> Template:
    """ValueError for a form that is not used here, such as `**` or a variable of several segments."""
    parts = _TEMPLATE.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text}: not a path template")
    segments = tuple(_segment(text, part) for part in parts["path"].split("/")[1:])
    return Template(text, segments, parts["verb"] or "")


def readings_of(raw_path: str) -> Sequence[Path]:
    """The ways to read a path as it stands on the wire, the likelier first.

    What follows the last colon of the last segment may be a verb, or belong to an id; a colon that is written %3A
    always belongs to the id. ValueError for what is no UTF-8.
    """
    *before, last = raw_path.split("/")[1:] or [""]
    head, colon, verb = last.rpartition(":")
    as_id = Path(tuple(_decoded(part) for part in (*before, last)))
    if not colon:
        return (as_id,)
    return (Path(tuple(_decoded(part) for part in (*before, head)), verb), as_id)


def _segment(template: str, part: str) -> str | Variable:
    if (variable := _VARIABLE.fullmatch(part)) is not None:
        return Variable(variable["field"])
    if _LITERAL.fullmatch(part):
        return part
    raise ValueError(f"{template}: {part} is neither literal nor a variable of one segment")


def _decoded(part: str) -> str:
    return unquote(part, errors="strict")
