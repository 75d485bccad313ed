"""Channels to the services: where they are, and how gRPC itself retries on them."""

from __future__ import annotations

import json
import os
from typing import Final

import grpc

TRIGGER_ADDRESS_VARIABLE: Final = "WAKEPOINT_TRIGGER_ADDRESS"
RUNNER_ADDRESS_VARIABLE: Final = "WAKEPOINT_RUNNER_ADDRESS"
DEFAULT_TRIGGER_ADDRESS: Final = "localhost:50051"
DEFAULT_RUNNER_ADDRESS: Final = "localhost:50052"

_MEBIBYTE: Final = 1024 * 1024

# UNAVAILABLE alone is repeated: the peer was not there, or said that nothing was stored. Every call that creates
# something carries a key of its own, so that the case where only the answer was lost is safe as well. Five attempts are
# the most that gRPC makes; these pauses stretch them over the few seconds that a restart takes. The token bucket ends
# retrying while most calls fail, so that clients do not keep down a service that comes up.
_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

_OPTIONS: Final[list[tuple[str, str | int]]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A channel that lost its peer tries to connect again no later than this, or an attempt would find it still pausing.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", 32 * _MEBIBYTE),
]


def trigger_address(given: str | None = None) -> str:
    """The address given, or that of WAKEPOINT_TRIGGER_ADDRESS, or localhost:50051."""
    return given or os.environ.get(TRIGGER_ADDRESS_VARIABLE) or DEFAULT_TRIGGER_ADDRESS


def runner_address(given: str | None = None) -> str:
    """The address given, or that of WAKEPOINT_RUNNER_ADDRESS, or localhost:50052."""
    return given or os.environ.get(RUNNER_ADDRESS_VARIABLE) or DEFAULT_RUNNER_ADDRESS


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel for asyncio; in plain text without credentials."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)


def open_blocking_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """The same for threads."""
    if credentials is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def call_metadata() -> tuple[tuple[str, str], ...]:
    """What every call carries: the W3C trace context that this process was started in, if any."""
    trace_parent = os.environ.get("TRACEPARENT")
    return (("traceparent", trace_parent),) if trace_parent else ()
