"""The runner's HTTP application."""

from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from runner_service.domain.webhooks import WebhookTokens
from runner_service.http.answers import Refused
from runner_service.http.events import take_events
from runner_service.http.hooks import METHODS, Hooks
from runner_service.http.ports import Deliver, NodeOf, SecretOf
from runner_service.http.signatures import secret_from_environment
from runner_service.nodes.registry import NodeRegistry
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.status import http_status_of
from wakepoint.chassis.transcoder import Transcoder

_log = structlog.stdlib.get_logger(__name__)


def make_app(
    *,
    tokens: WebhookTokens,
    registry: NodeRegistry,
    node_of: NodeOf,
    deliver: Deliver,
    clock: Clock,
    secret_of: SecretOf = secret_from_environment,
    rest: Transcoder | None = None,
) -> Starlette:
    """Webhooks and the approval page, below `/hooks/`; with `rest` also the RPCs and CloudEvents."""
    hooks = Hooks(tokens, registry, node_of, deliver, secret_of, clock)
    paths = ["POST /hooks/{token}"]
    routes: list[BaseRoute] = [Route("/hooks/{token}", hooks.serve, methods=METHODS)]
    if rest is not None:
        paths = [*rest.paths, "POST /v1/events", *paths]
        routes += [Route("/v1/events", rest.posting(partial(take_events, rest))), Mount("/", rest)]

    async def index(_request: Request) -> Response:
        return JSONResponse({"service": "wakepoint.runner.v1.RunnerService", "paths": paths})

    return Starlette(
        routes=[Route("/", index), *routes],
        exception_handlers={WakepointError: _refuse, Exception: _fail},
    )


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, WakepointError)
    status = http_status_of(error)
    if status == 500:
        return Refused(500, "INTERNAL", "internal error").as_json()
    return Refused(
        status, error.reason, error.message, {"Retry-After": "1"} if status in (429, 503) else None
    ).as_json()


async def _fail(request: Request, error: Exception) -> Response:
    # Not the path: it holds the token.
    _log.error("a webhook failed", method=request.method, exc_info=error)
    return Refused(500, "INTERNAL", "internal error").as_json()
