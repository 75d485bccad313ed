"""Requests as lines to copy, and log entries as rows to read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from wakepoint.chassis.protojson import struct_to_python, timestamp_to_datetime
from wakepoint.runner.v1.runner_pb2 import RunEvent

_LONGEST = 90


def curl_json(url: str, body: Mapping[str, object]) -> str:
    """A POST of JSON."""
    return f"curl -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))} {shlex.quote(url)}"


def grpcurl(address: str, method: str, request: Mapping[str, object]) -> str:
    """A call; `method` as in `wakepoint.runner.v1.RunnerService/WakeUp`."""
    return f"grpcurl -plaintext -d {shlex.quote(json.dumps(request))} {address} {method}"


def approve_by_curl(webhook_url: str, answer: Mapping[str, object]) -> str:
    """The answer, posted to the approval's URL."""
    return curl_json(webhook_url, answer)


def approve_by_grpcurl(address: str, run_id: str, answer: Mapping[str, object]) -> str:
    """The same, through the API."""
    request = {"run_id": run_id, "node_id": "approval", "event": {"payload": answer}}
    return grpcurl(address, "wakepoint.runner.v1.RunnerService/WakeUp", request)


def entry_in_words(entry: RunEvent) -> tuple[str, ...]:
    """seq, time, type, node and the payload's most telling part."""
    time = f"{timestamp_to_datetime(entry.create_time):%H:%M:%S.%f}"[:-3]
    node = entry.node_id + (f" [{entry.activation}]" if entry.activation not in ("", "0") else "")
    return str(entry.seq), time, entry.event_type, node, _gist(struct_to_python(entry.payload))


def _gist(payload: Mapping[str, object]) -> str:
    for key in ("reason", "outputs", "event", "trigger_event", "node_ids", "attempt", "input"):
        if payload.get(key):
            value = payload[key]
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            return f"{key}: {text}" if len(text) <= _LONGEST else f"{key}: {text[:_LONGEST]}..."
    return ""
