"""Whether a webhook's sender is who it should be. Everything is compared in constant time, over the raw body."""

import hmac
import os
from collections.abc import Callable, Mapping

import structlog
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from runner_service.http.answers import Refused
from runner_service.http.ports import SecretOf

SECRET_HEADER = "wakepoint-secret"  # noqa: S105 -- a header's name
ENVIRONMENT_PREFIX = "RUNNER_SECRET_"

_log = structlog.stdlib.get_logger(__name__)


def secret_from_environment(secret_ref: str) -> str | None:
    """`stripe` is the environment variable RUNNER_SECRET_STRIPE."""
    return os.environ.get(ENVIRONMENT_PREFIX + secret_ref.upper()) or None


def check_signature(
    signature: str, secret_ref: str, secret_of: SecretOf, headers: Mapping[str, str], body: bytes
) -> None:
    """Refuse with 401 unless the request is signed as `signature` asks: none, secret, standard or github."""
    if signature == "none":
        return
    secret = secret_of(secret_ref)
    if secret is None:
        # The sender is told no more than when its signature is wrong.
        _log.error("a webhook's secret is not set", variable=ENVIRONMENT_PREFIX + secret_ref.upper())
    elif _CHECKS[signature](secret, headers, body):
        return
    raise Refused(401, "UNAUTHENTICATED", "the secret or signature is missing or wrong")


def _has_secret(secret: str, headers: Mapping[str, str], _body: bytes) -> bool:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    given = headers.get(SECRET_HEADER, bearer)
    return hmac.compare_digest(given.encode("latin-1", "replace"), secret.encode())


def _has_standard_signature(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError):
        return False
    return True


def _has_github_signature(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    expected = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    given = headers.get("x-hub-signature-256", "")
    return hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode())


_CHECKS: Mapping[str, Callable[[str, Mapping[str, str], bytes], bool]] = {
    "secret": _has_secret,
    "standard": _has_standard_signature,
    "github": _has_github_signature,
}
