"""Nodes of a user's own file, for replicas that are processes of their own."""

import os
import signal
from pathlib import Path
from typing import Any

from wakepoint.nodes import Context, Node


class Count(Node):
    """Appends a line to a file: what happens outside, and cannot be taken back."""

    file: str

    def process(self, context: Context) -> Any:
        with Path(self.file).open("a") as file:
            file.write(f"{context.attempt} {context.idempotency_key}\n")
        return context.inputs.get("input")


class Deadly(Node):
    """Takes its process down."""

    async def process(self, context: Context) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
