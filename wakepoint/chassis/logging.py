"""Structured logs: one line an event, readable in a terminal or JSON in production, on standard error."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal

import structlog
from structlog.typing import Processor, WrappedLogger

_PASSWORD = re.compile(r"(?P<before>\w+://[^\s/:@]*:)[^\s@]*(?=@)")

# What these say at `info` is either ours to say (addresses taken, requests) or of no use to an operator.
_QUIET = ("uvicorn", "asyncio", "grpc", "httpx", "httpcore", "hpack")

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def setup_logging(
    style: Literal["console", "json"] = "console", level: Literal["debug", "info", "warning", "error"] = "info"
) -> None:
    """Configure the process's logging; called once, by an entry point.

    Standard library loggers come out in the same form. Values bound with `structlog.contextvars` (an RPC's `trace_id`)
    are on every line. Passwords inside connection strings are masked wherever they appear.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=[*_rendering(style), mask_passwords])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _rendering(style: Literal["console", "json"]) -> list[Processor]:
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if style == "json":
        return [clean, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The default traceback shows local variables, and with them what nobody may read in a log.
    plain = structlog.dev.plain_traceback
    return [clean, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def mask_passwords(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """The last processor, on the finished line: `scheme://user:secret@host` becomes `scheme://user:***@host`."""
    return _PASSWORD.sub(r"\g<before>***", str(line))
