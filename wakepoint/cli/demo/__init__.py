"""`wakepoint demo`: the whole idea on real data, told as a story in which every sentence is checked."""

from wakepoint.cli.demo.command import demo

__all__ = ["demo"]
