"""Globs over job names: `*`, `?` and `[...]`, matched as a whole and by case."""

from __future__ import annotations

from fnmatch import fnmatchcase

MAX_PATTERN_CHARACTERS = 255
"""Longer ones are refused on a write; where foreign SQL stored one, it matches nothing: compiling may take seconds."""


def glob_matches(name: str, pattern: str) -> bool:
    """Whether the pattern matches the whole name.

    The standard library turns a glob into a regular expression whose stars never give back what they took, so there is
    nothing to backtrack into: the worst pattern takes a fraction of a millisecond. It remembers the last 32,768.
    """
    return len(pattern) <= MAX_PATTERN_CHARACTERS and fnmatchcase(name, pattern)
