"""Webhook tokens: what a URL needs to name one node, provable without a table of URLs.

A token holds its target in clear and a MAC over it. Nothing is stored: whoever may read the run and has the key derives
the same token again, and whoever has neither cannot make one up.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MIN_KEY_BYTES = 32
MAX_TOKEN_LENGTH = 2_000

_PURPOSE = b"wakepoint.webhook.v1\0"
_MAC_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The node that a webhook wakes. Another `nonce` makes another token for the same node.

    Of scope `workflow` it is the node of whichever run of the workflow is unfinished, and `run_id` is empty.
    """

    run_id: str
    node_id: str
    scope: Literal["run", "workflow"] = "run"
    nonce: str = ""
    workflow_id: str = ""
    experiment_id: str = ""

    @classmethod
    def of(cls, run_id: str, workflow_id: str, experiment_id: str, node_id: str, scope: str) -> "WebhookTarget":
        """The target of a node's webhook, given its run and the `scope` among its properties."""
        if scope == "workflow":
            return cls("", node_id, "workflow", workflow_id=workflow_id, experiment_id=experiment_id)
        return cls(run_id, node_id)

    @property
    def webhook_id(self) -> str:
        """A name for the webhook that gives nothing away: it is not enough to call it."""
        return "wh_" + hashlib.sha256(_PURPOSE + _encode(self)).hexdigest()[:32]


class WebhookTokens:
    """Derives tokens with the first of `keys` and accepts those of any, so that a key can be replaced.

    ValueError for a key of fewer than 32 bytes.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("a webhook key is needed")
        if any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"a webhook key must have at least {MIN_KEY_BYTES} bytes")
        self._keys = tuple(keys)

    def derive(self, target: WebhookTarget) -> str:
        """The token, in characters that a URL takes as they are."""
        named = _encode(target)
        return _as_text(_mac(self._keys[0], named) + named)

    def parse(self, token: str) -> WebhookTarget | None:
        """The target of a genuine token, else None. Takes the same time however much of the MAC is right."""
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            return None
        try:
            content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, named = content[:_MAC_BYTES], content[_MAC_BYTES:]
        # Every key is tried, so that the time does not tell which one fits.
        genuine = [hmac.compare_digest(mac, _mac(key, named)) for key in self._keys]
        return _decode(named) if any(genuine) else None


def _mac(key: bytes, named: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + named, "sha256")


def _encode(target: WebhookTarget) -> bytes:
    # JSON, because joined with a separator two different targets could read the same.
    named = [target.scope, target.run_id, target.node_id, target.nonce]
    if target.scope == "workflow":
        named += [target.workflow_id, target.experiment_id]
    return json.dumps(named, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(named: bytes) -> WebhookTarget:
    scope, run_id, node_id, nonce, *workflow = json.loads(named)
    return WebhookTarget(run_id, node_id, scope, nonce, *workflow)


def _as_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
