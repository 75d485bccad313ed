from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.settings import Address, ServiceSettings, split_address


class _Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TRIGGER_")

    grpc_address: Address = "127.0.0.1:50051"
    runner_address: Address = "127.0.0.1:50052"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("TRIGGER_DATABASE_URL", "postgresql://u:hunter2@db/wakepoint")
    return monkeypatch


def test_settings_come_from_the_environment_with_the_services_prefix(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRIGGER_MIGRATE", "check")
    environment.setenv("TRIGGER_RUNNER_ADDRESS", "[::1]:7000")
    environment.setenv("TRIGGER_ADDRESS_FILE", "/run/wakepoint/addresses.json")
    environment.setenv("TRIGGER_LOG_LEVEL", "")
    settings = _Settings.load()
    assert settings.dsn == settings.listen_dsn == "postgresql://u:hunter2@db/wakepoint"
    assert (settings.migrate, settings.log_level, settings.log_format) == ("check", "info", "console")
    assert (settings.grpc_address, settings.runner_address) == ("127.0.0.1:50051", "[::1]:7000")
    assert settings.address_file == Path("/run/wakepoint/addresses.json")


def test_listening_may_go_past_the_pooler(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRIGGER_LISTEN_DATABASE_URL", "postgresql://u@direct/wakepoint")
    assert _Settings.load().listen_dsn == "postgresql://u@direct/wakepoint"


def test_the_password_is_in_no_repr(environment: pytest.MonkeyPatch) -> None:
    settings = _Settings.load()
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_every_wrong_variable_is_named_and_no_value_is_repeated(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRIGGER_DATABASE_URL", "mysql://u:hunter2@db")
    environment.setenv("TRIGGER_MIGRATE", "maybe")
    environment.setenv("TRIGGER_GRPC_ADDRESS", "localhost")
    with pytest.raises(InvalidArgument) as caught:
        _Settings.load()
    assert sorted(v.field for v in caught.value.violations) == [
        "TRIGGER_DATABASE_URL",
        "TRIGGER_GRPC_ADDRESS",
        "TRIGGER_MIGRATE",
    ]
    assert "hunter2" not in str(caught.value)


def test_a_missing_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIGGER_DATABASE_URL", raising=False)
    with pytest.raises(InvalidArgument, match="TRIGGER_DATABASE_URL: Field required"):
        _Settings.load()


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::]:8081", ("::", 8081)), ("db.local:65535", ("db.local", 65535))],
)
def test_addresses_are_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address", ["", "localhost", ":80", "host:", "host:65536", "host:-1", "::1:80", "host:\uff18\uff10"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError):
        split_address(address)
