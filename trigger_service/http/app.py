"""The established REST paths. Each handler reads the request, calls one verb and prints the answer as protobuf JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trigger_service.domain.blueprints import Blueprint
from trigger_service.domain.workflows import Workflow
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.get_workflow import get_workflow
from trigger_service.usecases.update_trigger_configs import update_trigger_configs
from wakepoint.chassis.errors import InvalidArgument, ResourceExhausted, Violations, WakepointError
from wakepoint.chassis.protojson import check_text
from wakepoint.chassis.status import http_status_of, to_status

MAX_BODY_BYTES = 1024 * 1024

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Messages:
    """How answers become messages: given by the composition root, so that REST shows what gRPC shows."""

    of_blueprint: Callable[[Blueprint], Message]
    of_workflow: Callable[[Workflow], Message]


def http_app(env: Environment, messages: Messages) -> Starlette:
    """The service over plain HTTP."""
    handlers = _Handlers(env, messages)
    return Starlette(
        routes=[
            Route("/", handlers.index),
            Route("/workflows/trigger_blueprints", handlers.blueprints),
            Route("/workflows/{workflow_id}", handlers.workflow),
            Route("/workflows/{workflow_id}/trigger_configs", handlers.put_configs, methods=["PUT"]),
        ],
        exception_handlers={WakepointError: _refuse, Exception: _fail},
    )


class _Handlers:
    def __init__(self, env: Environment, messages: Messages) -> None:
        self._env = env
        self._messages = messages

    async def index(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "service": "wakepoint.trigger.v1.TriggerService",
                "paths": [
                    "GET /workflows/trigger_blueprints",
                    "GET /workflows/{workflow_id}",
                    "PUT /workflows/{workflow_id}/trigger_configs",
                ],
            }
        )

    async def blueprints(self, _request: Request) -> Response:
        return JSONResponse([_plain(self._messages.of_blueprint(blueprint)) for blueprint in self._env.blueprints])

    async def workflow(self, request: Request) -> Response:
        workflow_id, experiment_id = _addressed(request)
        workflow = await get_workflow(self._env, workflow_id, experiment_id)
        return JSONResponse(_plain(self._messages.of_workflow(workflow)), headers={"ETag": workflow.etag})

    async def put_configs(self, request: Request) -> Response:
        workflow_id, experiment_id = _addressed(request)
        body = await _body(request)
        etag = body.get("etag", request.headers.get("If-Match", ""))
        if not isinstance(etag, str):
            raise InvalidArgument.of("etag", "must be a string")
        workflow = await update_trigger_configs(self._env, workflow_id, experiment_id, body.get("configs"), etag)
        return JSONResponse(_plain(self._messages.of_workflow(workflow)), headers={"ETag": workflow.etag})


def _addressed(request: Request) -> tuple[str, str]:
    """The workflow in the path and the experiment in the query, which is optional."""
    workflow_id, experiment_id = request.path_params["workflow_id"], request.query_params.get("experiment_id", "")
    faults = Violations()
    check_text({"workflow_id": workflow_id, "experiment_id": experiment_id}, "", faults)
    faults.raise_if_any()
    return workflow_id, experiment_id


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body, storable as far as its text goes."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise ResourceExhausted(f"the body is larger than {MAX_BODY_BYTES} bytes", reason="BODY_TOO_LARGE")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidArgument.of("body", "must be JSON") from None
    if not isinstance(body, dict):
        raise InvalidArgument.of("body", "must be a dictionary")
    faults = Violations()
    check_text(body, "", faults)
    faults.raise_if_any()
    return body


def _plain(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def _refuse(_request: Request, error: Exception) -> Response:
    return JSONResponse(_plain(to_status(error)), status_code=http_status_of(error))


async def _fail(request: Request, error: Exception) -> Response:
    _log.error("request failed", path=request.url.path, exc_info=error)
    return JSONResponse(_plain(to_status(error)), status_code=http_status_of(error))
