"""`/hooks/{token}`: from a request to a node's inbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from runner_service.domain.webhooks import WebhookTarget, WebhookTokens
from runner_service.http import approval_page
from runner_service.http.answers import Refused, delivery_as_json, status_of
from runner_service.http.bodies import Content, content_of, event_of, read_body
from runner_service.http.ports import Deliver, HookNode, NodeOf, SecretOf
from runner_service.http.signatures import check_signature
from runner_service.nodes import Approval, Webhook
from runner_service.nodes.decisions import NoDecision, read_decision
from runner_service.nodes.registry import NodeRegistry
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.ids import new_id

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Hooks:
    """Serves every webhook of the service."""

    tokens: WebhookTokens
    registry: NodeRegistry
    node_of: NodeOf
    deliver: Deliver
    secret_of: SecretOf
    clock: Clock

    async def serve(self, request: Request) -> Response:
        """The answer to one request; a person who uses the approval page gets pages, everybody else JSON."""
        try:
            target, node = await self._find(request)
            if self._is_a(node, Approval):
                return await self._approval(request, target, node)
            return await self._webhook(request, target, node)
        except Refused as refused:
            if _wants_html(request):
                return approval_page.statement(refused.status, "That did not work", refused.message)
            return refused.as_json()

    async def _find(self, request: Request) -> tuple[WebhookTarget, HookNode]:
        target = self.tokens.parse(request.path_params["token"])
        node = None if target is None else await self.node_of(target)
        if target is None or node is None:
            # One answer for both: who guesses learns nothing.
            raise Refused(404, "NOT_FOUND", "there is no such webhook")
        return target, node

    async def _webhook(self, request: Request, target: WebhookTarget, node: HookNode) -> Response:
        methods, signature, secret_ref = ["POST"], "none", ""
        if self._is_a(node, Webhook):
            methods = node.properties.get("methods", methods)
            signature = node.properties.get("signature", signature)
            secret_ref = node.properties.get("secret_ref", secret_ref)
        _check_method(request, methods)
        body = await read_body(request)
        check_signature(signature, secret_ref, self.secret_of, request.headers, body)
        event = event_of(request, content_of(request, body), self.clock.now())
        return delivery_as_json(await self.deliver(target, event), event.event_id)

    async def _approval(self, request: Request, target: WebhookTarget, node: HookNode) -> Response:
        _check_method(request, ["GET", "HEAD", "POST"])
        approvers = _known_approvers(node.properties)
        if request.method != "POST":
            if node.finished:
                raise Refused(410, "FINISHED", "the run has ended; nobody waits for an answer any more")
            return approval_page.question(node.workflow_id, target.run_id, target.node_id, approvers or (), new_id())
        content = content_of(request, await read_body(request))
        _check_decision(content, approvers)
        sent = content.payload.get("event_id", "")
        event = event_of(request, content, self.clock.now(), sent if isinstance(sent, str) else "")
        result = await self.deliver(target, event)
        if not _wants_html(request):
            return delivery_as_json(result, event.event_id)
        if result.disposition.success:
            return approval_page.statement(202, "Thank you", "Your answer has been recorded. You can close this page.")
        return approval_page.statement(
            status_of(result.disposition), "That did not work", result.message or result.disposition.value
        )

    def _is_a(self, node: HookNode, node_class: type[Approval] | type[Webhook]) -> bool:
        try:
            return issubclass(self.registry.get(node.node_type), node_class)
        except KeyError:
            raise Refused(503, "NODE_TYPE_MISSING", f"node type {node.node_type} is not installed here") from None


def _check_method(request: Request, methods: Sequence[str]) -> None:
    if request.method not in methods:
        allowed = ", ".join(methods)
        raise Refused(405, "METHOD_NOT_ALLOWED", f"use {allowed}", {"Allow": allowed})


def _known_approvers(properties: Mapping[str, Any]) -> Sequence[str] | None:
    """Who may answer; None where that is computed in the run, so that only the node knows."""
    approvers = properties.get("approvers", [])
    if not isinstance(approvers, list) or any("${" in name for name in approvers):
        return None
    return approvers


def _check_decision(content: Content, approvers: Sequence[str] | None) -> None:
    """Tell a sender at once what the node would only say in its log."""
    try:
        read_decision(content.payload, approvers or ())
    except NoDecision as problem:
        status, reason = (403, "PERMISSION_DENIED") if problem.refused else (400, "INVALID_BODY")
        raise Refused(status, reason, str(problem)) from None


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
