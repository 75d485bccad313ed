"""Tokens: derived again by whoever has the key, made up by nobody."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_service.domain.webhooks import WebhookTarget, WebhookTokens

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
TARGET = WebhookTarget("0198c0de-0000-7000-8000-000000000001", "ask")
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(run_id=names, node_id=names, nonce=names)
def test_a_token_tells_its_target_and_goes_into_a_url_as_it_is(run_id: str, node_id: str, nonce: str) -> None:
    tokens = WebhookTokens([KEY])
    target = WebhookTarget(run_id[:36], node_id, nonce=nonce[:8])
    token = tokens.derive(target)
    assert tokens.parse(token) == target
    assert token == WebhookTokens([KEY]).derive(target)
    assert token.replace("-", "").replace("_", "").isalnum()


def test_neighbouring_targets_have_tokens_and_ids_of_their_own() -> None:
    tokens = WebhookTokens([KEY])
    targets = [
        WebhookTarget("ab", "c"),
        WebhookTarget("a", "bc"),
        WebhookTarget('a","b', "c"),
        WebhookTarget("a", 'b","c'),
        WebhookTarget("ab", "c", nonce="1"),
        WebhookTarget.of("r", "w", "e", "c", "workflow"),
        WebhookTarget.of("r", "w", "f", "c", "workflow"),
    ]
    assert len({tokens.derive(target) for target in targets}) == len(targets)
    assert len({target.webhook_id for target in targets}) == len(targets)
    assert [tokens.parse(tokens.derive(target)) for target in targets] == targets


def test_no_changed_token_is_genuine() -> None:
    tokens = WebhookTokens([KEY])
    token = tokens.derive(TARGET)
    content = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for index in range(len(content)):
        content[index] ^= 1
        assert tokens.parse(base64.urlsafe_b64encode(content).decode().rstrip("=")) is None, index
        content[index] ^= 1


@pytest.mark.parametrize("token", ["", "a", "=", "ä" * 50, "A" * 43, "A" * 60, "!" * 60, "A" * 5000, "\0" * 44])
def test_what_is_no_token_is_none(token: str) -> None:
    assert WebhookTokens([KEY]).parse(token) is None


def test_a_replaced_key_is_still_accepted_and_no_longer_used() -> None:
    old, both, new = WebhookTokens([OTHER_KEY]), WebhookTokens([KEY, OTHER_KEY]), WebhookTokens([KEY])
    assert both.parse(old.derive(TARGET)) == TARGET
    assert new.parse(old.derive(TARGET)) is None
    assert both.derive(TARGET) == new.derive(TARGET)


def test_a_webhooks_id_is_not_enough_to_call_it() -> None:
    assert WebhookTokens([KEY]).parse(TARGET.webhook_id) is None
    assert TARGET.webhook_id not in WebhookTokens([KEY]).derive(TARGET)


@pytest.mark.parametrize("keys", [[], [b"short"], [KEY, b""]])
def test_a_key_that_could_be_guessed_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="webhook key"):
        WebhookTokens(keys)
