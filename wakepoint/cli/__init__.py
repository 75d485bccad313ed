"""The `wakepoint` command: a client of the two services, and what runs them on one machine."""

from wakepoint.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The console script's entry."""
    app()
