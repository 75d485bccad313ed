"""Requests of all three content modes, as the CloudEvents SDK sends them and as they should not be."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from starlette.datastructures import Headers

from wakepoint.chassis.cloud_events import BATCHED, STRUCTURED, ReceivedEvent, read_events
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.transcoder import Refusal

ATTRIBUTES = {
    "id": "1",
    "source": "/ci/ü",
    "type": "build.done",
    "subject": 'a "quoted" 100%',
    "time": datetime(2026, 11, 22, 6, tzinfo=UTC),
    "dataschema": "https://schemas.example/build",
    "experimentid": "e1",
}
JSON = {"datacontenttype": "application/json"}
REQUIRED = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/ci", "ce-type": "t"}


def read(headers: dict[str, str], body: bytes = b"") -> ReceivedEvent:
    return read_events(Headers(headers), body).only


def structured(body: Any) -> ReceivedEvent:
    return read({"content-type": STRUCTURED}, body if isinstance(body, bytes) else json.dumps(body).encode())


def faults(headers: dict[str, str], body: bytes = b"") -> dict[str, str]:
    with pytest.raises(InvalidArgument) as refused:
        read(headers, body)
    return {fault.field: fault.description for fault in refused.value.violations}


@pytest.mark.parametrize("send", [to_binary_event, to_structured_event])
@pytest.mark.parametrize(
    ("attributes", "data", "expected"),
    [
        (JSON, {"a": [1, None, "ü"]}, {"a": [1, None, "ü"]}),
        ({"datacontenttype": "application/vnd.build+json; charset=utf-8"}, {"a": 1}, {"a": 1}),
        ({"datacontenttype": "text/plain"}, "hällo", "hällo".encode()),
        ({"datacontenttype": "image/png"}, b"\x89PNG", b"\x89PNG"),
        ({}, None, None),
    ],
    ids=["json", "vendor-json", "text", "bytes", "nothing"],
)
def test_what_the_sdk_sends_is_read_as_it_was_meant(
    send: Any, attributes: dict[str, str], data: Any, expected: Any
) -> None:
    message = send(CloudEvent({**ATTRIBUTES, **attributes}, data))
    assert read(message.headers, message.body) == ReceivedEvent(
        id="1",
        source="/ci/ü",
        type="build.done",
        subject='a "quoted" 100%',
        time=datetime(2026, 11, 22, 6, tzinfo=UTC),
        data_schema="https://schemas.example/build",
        content_type=attributes.get("datacontenttype", ""),
        extensions={"experimentid": "e1"},
        data=expected,
    )


def test_a_batch_keeps_its_order_and_an_error_stands_for_what_is_wrong() -> None:
    good = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    received = read_events(Headers({"content-type": BATCHED}), json.dumps([good, {}, 5, {**good, "id": "2"}]).encode())
    assert received.batched
    first, second, third, fourth = received.events
    assert isinstance(first, ReceivedEvent)
    assert isinstance(fourth, ReceivedEvent)
    assert (first.id, fourth.id) == ("1", "2")
    assert isinstance(second, InvalidArgument)
    assert [fault.field for fault in second.violations] == ["id", "source", "type", "specversion"]
    assert isinstance(third, InvalidArgument)
    assert third.message == "body: must be a dictionary"


@pytest.mark.parametrize("body", [b"{}", b"5", json.dumps([{}] * 1001).encode()])
def test_a_batch_is_a_list_of_bounded_length(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="must be a list of at most 1000 events"):
        read_events(Headers({"content-type": BATCHED}), body)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"ce-specversion": "0.3"}, "specversion"),
        ({"ce-id": ""}, "id"),
        ({"ce-source": ""}, "source"),
        ({"ce-type": ""}, "type"),
        ({"ce-subject": ""}, "subject"),
        ({"ce-time": "yesterday"}, "time"),
        ({"ce-time": "2026-11-22T06:00:00"}, "time"),
        ({"ce-my_extension": "1"}, "my_extension"),
        ({"ce-subject": "%ff"}, "subject"),
        ({"ce-subject": "%00"}, "subject"),
    ],
    ids=str,
)
def test_an_attribute_that_is_wrong_is_named(changed: dict[str, str], fault: str) -> None:
    assert list(faults({**REQUIRED, **changed})) == [fault]


def test_what_is_no_cloud_event_is_told_what_it_lacks() -> None:
    assert faults({"content-type": "application/json"}, b"{}") == dict.fromkeys(
        ("id", "source", "type", "specversion"), "is missing"
    )


@pytest.mark.parametrize(
    ("changed", "fault", "description"),
    [
        ({"id": 5}, "id", "must be a string"),
        ({"number": 1.5}, "number", "must be a string, a boolean or an integer"),
        ({"nested": {}}, "nested", "must be a string, a boolean or an integer"),
        ({"data": 1, "data_base64": "MQ=="}, "data_base64", "must not stand beside data"),
        ({"data_base64": "?"}, "data_base64", "must be base64"),
        ({"data_base64": 5}, "data_base64", "must be base64"),
        ({"subject": "\ud800"}, "subject", "must not contain NUL characters or lone surrogates"),
        ({"data": {"a": "\0"}}, "data.a", "must not contain NUL characters or lone surrogates"),
    ],
    ids=str,
)
def test_a_structured_event_has_values_of_the_right_kind(changed: dict[str, Any], fault: str, description: str) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", **changed}
    assert faults({"content-type": STRUCTURED}, json.dumps(event).encode())[fault] == description


def test_extensions_are_kept_in_their_canonical_text_form_and_null_is_nothing() -> None:
    event = structured(
        {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "number": 5, "flag": True, "none": None}
    )
    assert event.extensions == {"number": "5", "flag": "true"}


def test_bytes_that_are_declared_to_be_json_are_json() -> None:
    encoded = base64.b64encode(b'{"a": 1}').decode()
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": encoded}
    assert structured(event).data == {"a": 1}


def test_data_that_is_declared_to_be_json_and_is_none_is_refused() -> None:
    assert "must be JSON" in faults({**REQUIRED, "content-type": "application/json"}, b"{")["data"]


def test_a_body_that_is_no_json_is_told_where() -> None:
    with pytest.raises(InvalidArgument, match="line 1, column 2"):
        structured(b"{")


@pytest.mark.parametrize("kind", ["application/cloudevents+avro", "application/cloudevents-batch+protobuf"])
def test_other_formats_are_unsupported(kind: str) -> None:
    with pytest.raises(Refusal) as refused:
        read({"content-type": kind}, b"x")
    assert refused.value.http_status == 415
