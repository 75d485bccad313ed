"""The service's HTTP application."""

from __future__ import annotations

from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from trigger_service.http.events import take_events
from wakepoint.chassis.transcoder import Transcoder


def http_app(rest: Transcoder) -> Starlette:
    """REST, CloudEvents, and at `/` a list of the paths."""

    async def index(_request: Request) -> Response:
        paths = [*rest.paths, "POST /v1/events"]
        return JSONResponse({"service": "wakepoint.trigger.v1.TriggerService", "paths": paths})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/v1/events", rest.posting(partial(take_events, rest))),
            Mount("/", rest),
        ]
    )
