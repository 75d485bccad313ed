"""How the story is told, and how it ends when something is not as promised."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

_LABEL_WIDTH = 12


class PromiseBroken(Exception):
    """Something that the story told is not so."""


class Teller:
    """Writes the story to a console; every line of it is one fact."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._chapter = 0

    def chapter(self, title: str) -> None:
        """A new step of the story, with the seconds since its start."""
        self._chapter += 1
        clock = f"{time.monotonic() - self._start:5.1f} s"
        line = Text.assemble((f"\n{self._chapter:2}  ", "bold cyan"), (title, "bold"), (f"  {clock}", "dim"))
        self._console.print(line, soft_wrap=True)

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(Text("    " + text), soft_wrap=True)

    def fact(self, label: str, value: object, note: str = "") -> None:
        """An id, a time, a number. Never wrapped, so that it can be copied."""
        aside = f"  {note}" if note else ""
        line = Text.assemble("    ", (f"{label:<{_LABEL_WIDTH}}", "dim"), str(value), (aside, "dim"))
        self._console.print(line, soft_wrap=True)

    def promise(self, kept: bool, text: str, otherwise: object = "") -> None:
        """A promise that was checked. PromiseBroken, with what was found instead, if it was not kept."""
        if not kept:
            raise PromiseBroken(f"not so: {text}" + (f" (found: {otherwise})" if otherwise != "" else ""))
        self._console.print(Text.assemble("    ", ("ok", "bold green"), "  ", text), soft_wrap=True)

    def command(self, text: str) -> None:
        """A line to copy into a shell."""
        self._console.print(Text("    $ " + text, style="yellow"), soft_wrap=True)

    def table(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Rows under the first one, which names the columns; cut to the terminal's width if there is a terminal."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            line = Text("    " + "  ".join(cells).rstrip(), style="dim" if number == 0 else "")
            if self._console.is_terminal:
                line.truncate(self._console.width, overflow="ellipsis")
            self._console.print(line, soft_wrap=True)

    def trouble(self, text: str) -> None:
        """Why the story ends here."""
        self._console.print(Text(text, style="bold red"), soft_wrap=True)
