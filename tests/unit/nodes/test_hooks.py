"""The webhook face over HTTP, with the run behind it replaced by a list of what was delivered."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook as StandardWebhook

from runner_service.domain.runs import Disposition
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.domain.webhooks import WebhookTarget, WebhookTokens
from runner_service.http.app import make_app
from runner_service.http.ports import HookNode
from runner_service.http.signatures import secret_from_environment
from runner_service.nodes.registry import NodeRegistry
from runner_service.usecases.deliver_events import WakeResult
from wakepoint.chassis.clock import ManualClock, SystemClock
from wakepoint.chassis.errors import Unavailable

TOKENS = WebhookTokens([b"k" * 32])
REGISTRY = NodeRegistry.load()
STANDARD_SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
SECRETS = {"plain": "pässword", "standard": STANDARD_SECRET, "github": "hush"}
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


class Service:
    """Delivers everything it is given to a list."""

    def __init__(self) -> None:
        self.nodes: dict[str, HookNode] = {}
        self.events: list[tuple[str, str, TriggerEvent]] = []
        self.disposition = Disposition.DELIVERED
        self.error: Exception | None = None
        app = make_app(
            tokens=TOKENS,
            registry=REGISTRY,
            node_of=self.node_of,
            deliver=self.deliver,
            clock=ManualClock(),
            secret_of=SECRETS.get,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://runner.test")

    def add(self, node_type: str, properties: Mapping[str, Any] | None = None, *, finished: bool = False) -> str:
        """A node of that type; the path of its webhook."""
        node_id = f"n{len(self.nodes)}"
        self.nodes[node_id] = HookNode(node_type, properties or {}, "w<1>", finished)
        return f"/hooks/{TOKENS.derive(WebhookTarget('run-1', node_id))}"

    async def node_of(self, target: WebhookTarget) -> HookNode | None:
        return self.nodes.get(target.node_id)

    async def deliver(self, target: WebhookTarget, event: TriggerEvent) -> WakeResult:
        if self.error is not None:
            raise self.error
        self.events.append((target.run_id, target.node_id, event))
        return WakeResult(self.disposition, target.run_id, message="explained")

    @property
    def event(self) -> TriggerEvent:
        ((_, _, event),) = self.events
        return event


@pytest.fixture
def service() -> Service:
    return Service()


async def test_a_json_body_is_the_payload_of_an_event_for_the_tokens_node(service: Service) -> None:
    service.add("Manual")
    path = service.add("Webhook")
    answer = await service.client.post(path, json={"n": 1, "list": [None, "ü"]})
    ((run_id, node_id, event),) = service.events
    assert (run_id, node_id) == ("run-1", "n1")
    assert event.payload == {"n": 1, "list": [None, "ü"]}
    assert (event.source, event.type) == ("wakepoint/webhook", "wakepoint.webhook")
    assert event.occur_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert answer.status_code == 202
    assert answer.json() == {"disposition": "DELIVERED", "event_id": event.event_id, "message": "explained"}


async def test_a_form_is_its_fields_and_a_field_that_comes_twice_a_list(service: Service) -> None:
    await service.client.post(service.add("Webhook"), data={"a": "1", "b": ["x", ""], "ü": "ß"})
    assert service.event.payload == {"a": "1", "b": ["x", ""], "ü": "ß"}


async def test_json_that_curl_calls_a_form_is_json(service: Service) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    await service.client.post(service.add("Webhook"), content=b'{"a": "b=c&d"}', headers=headers)
    assert service.event.payload == {"a": "b=c&d"}


async def test_any_other_body_is_kept_byte_by_byte(service: Service) -> None:
    headers = {"Content-Type": "text/csv; charset=latin-1"}
    await service.client.post(service.add("Webhook"), content=b"a;\xe4\0", headers=headers)
    assert service.event.payload is None
    assert service.event.content_type == "text/csv; charset=latin-1"
    assert base64.b64decode(service.event.body_base64) == b"a;\xe4\0"


async def test_without_a_body_the_query_is_the_payload(service: Service) -> None:
    path = service.add("Webhook", {"methods": ["GET"]})
    assert (await service.client.get(path, params={"a": "1"})).status_code == 202
    assert service.event.payload == {"a": "1"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"NaN"),
        ("application/json", b"[1e999]"),
        ("application/json", b'{"a": "\\u0000"}'),
        ("application/json", b'{"a": "\\ud800"}'),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000),
        ("application/vnd.api+json", b"1" * 5000),
        ("application/x-www-form-urlencoded", b"a=\xff"),
        ("application/x-www-form-urlencoded", b"a=%ff"),
        ("application/x-www-form-urlencoded", b"a=%00"),
        ("application/x-www-form-urlencoded", b"a&" * 2000),
    ],
)
async def test_a_body_that_cannot_be_read_or_stored_is_refused(
    service: Service, content_type: str, body: bytes
) -> None:
    answer = await service.client.post(service.add("Webhook"), content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["reason"] == "INVALID_BODY"
    assert service.events == []


@pytest.mark.parametrize("header", ["Idempotency-Key", "webhook-id", "X-GitHub-Delivery"])
async def test_the_senders_own_id_is_the_events_id(service: Service, header: str) -> None:
    path = service.add("Webhook")
    service.disposition = Disposition.DUPLICATE
    answer = await service.client.post(path, json=1, headers={header: "delivery-7"})
    assert (answer.status_code, answer.json()["disposition"]) == (202, "DUPLICATE")
    assert service.event.event_id == "delivery-7"


async def test_events_without_an_id_of_their_senders_differ(service: Service) -> None:
    path = service.add("Webhook")
    for _ in range(2):
        await service.client.post(path, json=1)
    assert len({event.event_id for _, _, event in service.events}) == 2


async def test_an_id_too_long_for_an_index_is_refused(service: Service) -> None:
    answer = await service.client.post(service.add("Webhook"), json=1, headers={"Idempotency-Key": "x" * 501})
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_EVENT")


async def test_githubs_event_is_the_events_type(service: Service) -> None:
    path = service.add("Webhook")
    await service.client.post(path, json={}, headers={"X-GitHub-Event": "pull_request"})
    assert service.event.type == "github.pull_request"


@pytest.mark.parametrize(
    ("disposition", "status"),
    [
        (Disposition.DELIVERED, 202),
        (Disposition.BUFFERED, 202),
        (Disposition.DUPLICATE, 202),
        (Disposition.NO_SUCH_RUN, 404),
        (Disposition.NO_SUCH_NODE, 404),
        (Disposition.AMBIGUOUS, 409),
        (Disposition.FINISHED, 410),
        (Disposition.EXPIRED, 410),
        (Disposition.TOO_LARGE, 413),
        (Disposition.INBOX_FULL, 429),
    ],
)
async def test_every_disposition_has_its_status(service: Service, disposition: Disposition, status: int) -> None:
    service.disposition = disposition
    answer = await service.client.post(service.add("Webhook"), json=1)
    assert (answer.status_code, answer.json()["disposition"]) == (status, disposition.value)


async def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_too_large(service: Service) -> None:
    path = service.add("Webhook")
    assert (await service.client.post(path, content=b"x" * 2**20)).status_code == 202
    answer = await service.client.post(path, content=b"x" * (2**20 + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "TOO_LARGE")


async def test_a_body_whose_length_nobody_declared_is_bounded_while_it_is_read(service: Service) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100 * 2**20:
            sent += 2**16
            yield b"x" * 2**16

    answer = await service.client.post(service.add("Webhook"), content=endless())
    assert answer.status_code == 413
    assert sent < 3 * 2**20


@pytest.mark.parametrize("token", ["x", TOKENS.derive(WebhookTarget("run-1", "nobody")), "A" * 3000])
async def test_an_unknown_webhook_is_not_found_whatever_is_wrong_with_its_token(service: Service, token: str) -> None:
    answer = await service.client.post(f"/hooks/{token}", json=1)
    assert (answer.status_code, answer.json()["reason"]) == (404, "NOT_FOUND")
    assert answer.json()["message"] == "there is no such webhook"


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("POST", 405), ("DELETE", 405), ("PUT", 202)])
async def test_other_methods_than_the_nodes_are_refused(service: Service, method: str, status: int) -> None:
    answer = await service.client.request(method, service.add("Webhook", {"methods": ["PUT"]}), json=1)
    assert answer.status_code == status
    assert status == 202 or answer.headers["allow"] == "PUT"


async def test_a_trigger_of_another_type_takes_posts(service: Service) -> None:
    path = service.add("Manual", {"methods": "its own meaning"})
    assert (await service.client.post(path, json=1)).status_code == 202
    assert (await service.client.get(path)).status_code == 405


async def test_a_type_that_is_not_installed_here_is_no_fault_of_the_sender(service: Service) -> None:
    assert (await service.client.post(service.add("Oracle"), json=1)).status_code == 503


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Wakepoint-Secret": "pässword".encode()}, 202),
        ({"Authorization": b"Bearer " + "pässword".encode()}, 202),
        ({"Wakepoint-Secret": b"password"}, 401),
        ({"Authorization": b"Bearer "}, 401),
        ({"Wakepoint-Secret": b"wrong", "Authorization": b"Bearer " + "pässword".encode()}, 401),
        ({}, 401),
    ],
)
async def test_a_secret_must_be_in_its_header(service: Service, headers: dict[str, bytes], status: int) -> None:
    path = service.add("Webhook", {"signature": "secret", "secret_ref": "plain"})
    raw = {name.encode(): value for name, value in headers.items()}
    assert (await service.client.post(path, content=b"1", headers=raw)).status_code == status
    assert len(service.events) == (status == 202)


async def test_githubs_signature_is_checked_over_the_raw_body(service: Service) -> None:
    path = service.add("Webhook", {"signature": "github", "secret_ref": "github"})
    body = b'{ "spaced" :  1 }'
    signature = "sha256=" + hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    assert (await service.client.post(path, content=body, headers=headers)).status_code == 202
    for changed, sent in ((body + b" ", signature), (body, signature[7:]), (body, "")):
        headers["X-Hub-Signature-256"] = sent
        assert (await service.client.post(path, content=changed, headers=headers)).status_code == 401
    assert len(service.events) == 1


async def test_a_standard_webhooks_signature_is_checked_over_the_raw_body(service: Service) -> None:
    path = service.add("Webhook", {"signature": "standard", "secret_ref": "standard"})
    body, now = json.dumps({"n": 1}), SystemClock().now()  # the library compares the time with the wall clock
    headers = {
        "Content-Type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": "v1a,x " + StandardWebhook(STANDARD_SECRET).sign("msg_1", now, body),
    }
    assert (await service.client.post(path, content=body, headers=headers)).status_code == 202
    assert service.event.event_id == "msg_1"
    for changed in ({"webhook-id": "msg_2"}, {"webhook-timestamp": "0"}, {"webhook-signature": "nonsense"}):
        assert (await service.client.post(path, content=body, headers={**headers, **changed})).status_code == 401
    assert (await service.client.post(path, content=b"\xff", headers=headers)).status_code == 401
    assert len(service.events) == 1


async def test_a_secret_that_the_operator_did_not_set_lets_nobody_in(service: Service) -> None:
    path = service.add("Webhook", {"signature": "secret", "secret_ref": "unset"})
    assert (await service.client.post(path, json=1, headers={"Wakepoint-Secret": ""})).status_code == 401


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_SECRET_STRIPE", "s3cret")
    monkeypatch.setenv("RUNNER_SECRET_EMPTY", "")
    assert secret_from_environment("stripe") == "s3cret"
    assert secret_from_environment("empty") is None
    assert secret_from_environment("other") is None


async def test_a_database_that_is_away_asks_the_sender_to_come_back(service: Service) -> None:
    service.error = Unavailable("the database is away", reason="DATABASE_UNAVAILABLE")
    answer = await service.client.post(service.add("Webhook"), json=1)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"reason": "DATABASE_UNAVAILABLE", "message": "the database is away"}


async def test_an_unforeseen_error_tells_nothing(service: Service) -> None:
    service.error = RuntimeError("password=hunter2")
    answer = await service.client.post(service.add("Webhook"), json=1)
    assert (answer.status_code, answer.json()) == (500, {"reason": "INTERNAL", "message": "internal error"})


class Form(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


async def test_the_approval_page_is_a_form_that_a_screen_reader_can_use(service: Service) -> None:
    answer = await service.client.get(service.add("Approval"), headers=BROWSER)
    assert answer.status_code == 200
    form = Form(answer.text)
    assert form.all("html") == [{"lang": "en"}]
    assert len(form.all("h1")) == len(form.all("main")) == len(form.all("form")) == 1
    labelled = {label["for"] for label in form.all("label")}
    fields = {field["id"] for tag in ("input", "select", "textarea") for field in form.all(tag) if "id" in field}
    assert labelled == fields == {"approver", "comment"}
    assert [button["value"] for button in form.all("button")] == ["approve", "reject"]
    assert form.all("script") == []
    assert "w<1>" in form.text
    assert "run-1" in form.text
    assert service.events == []


async def test_the_page_gives_its_address_to_nobody(service: Service) -> None:
    answer = await service.client.get(service.add("Approval"), headers=BROWSER)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_who_may_answer_is_chosen_from_a_list(service: Service) -> None:
    answer = await service.client.get(service.add("Approval", {"approvers": ["ada", "<b>grace"]}), headers=BROWSER)
    form = Form(answer.text)
    assert len(form.all("option")) == 3
    assert "<b>grace" in form.text
    computed = await service.client.get(service.add("Approval", {"approvers": ["${input.who}"]}), headers=BROWSER)
    assert Form(computed.text).all("option") == []


async def test_a_person_answers_with_the_form_and_sending_it_twice_counts_once(service: Service) -> None:
    path = service.add("Approval", {"approvers": ["ada"]})
    form = Form((await service.client.get(path, headers=BROWSER)).text)
    (event_id,) = (field["value"] for field in form.all("input") if field.get("name") == "event_id")
    data = {"event_id": event_id, "approver": "ada", "comment": "fine", "decision": "approve"}
    for _ in range(2):
        answer = await service.client.post(path, data=data, headers=BROWSER)
        assert answer.status_code == 202
        assert "recorded" in Form(answer.text).text
    assert {event.event_id for _, _, event in service.events} == {event_id}
    payload = service.events[0][2].payload
    assert (payload["decision"], payload["approver"], payload["comment"]) == ("approve", "ada", "fine")


async def test_a_program_answers_with_json(service: Service) -> None:
    answer = await service.client.post(service.add("Approval"), json={"approved": True, "approver": "ada"})
    assert (answer.status_code, answer.json()["disposition"]) == (202, "DELIVERED")
    assert service.event.payload == {"approved": True, "approver": "ada"}


@pytest.mark.parametrize(
    ("payload", "status"),
    [({"approved": True, "approver": "mallory"}, 403), ({"approved": "yes", "approver": "ada"}, 400), ([], 400)],
)
async def test_an_answer_that_would_change_nothing_is_refused_at_once(
    service: Service, payload: Any, status: int
) -> None:
    path = service.add("Approval", {"approvers": ["ada"]})
    assert (await service.client.post(path, json=payload)).status_code == status
    assert service.events == []


async def test_who_may_answer_is_left_to_the_node_where_it_is_computed(service: Service) -> None:
    path = service.add("Approval", {"approvers": "${input.people}"})
    assert (await service.client.post(path, json={"approved": True, "approver": "x"})).status_code == 202


async def test_a_person_is_told_in_words_when_it_is_too_late(service: Service) -> None:
    answer = await service.client.get(service.add("Approval", finished=True), headers=BROWSER)
    assert answer.status_code == 410
    assert "nobody waits" in Form(answer.text).text
    service.disposition = Disposition.FINISHED
    answer = await service.client.post(service.add("Approval"), data={"decision": "reject"}, headers=BROWSER)
    assert answer.status_code == 410
    assert "explained" in Form(answer.text).text


async def test_the_front_door_says_what_there_is(service: Service) -> None:
    assert (await service.client.get("/")).json()["paths"] == ["POST /hooks/{token}"]
