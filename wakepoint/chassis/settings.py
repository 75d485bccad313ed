"""What an operator sets, from the environment only; each service gives its prefix and its own defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from wakepoint.chassis.errors import FieldViolation, InvalidArgument


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IPv6 host stands in brackets, which come off. ValueError if it is neither."""
    host, separator, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not separator or not bare or (":" in bare and not host.startswith("[")):
        raise ValueError("must be of the form host:port")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("the port must be a number from 0 to 65535")
    return bare, int(port)


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_dsn(dsn: SecretStr) -> SecretStr:
    if not dsn.get_secret_value().startswith(("postgres://", "postgresql://")):
        raise ValueError("must be of the form postgresql://user:password@host:port/database")
    return dsn


Address = Annotated[str, AfterValidator(_checked_address)]
"""`host:port`; port 0 takes any free one."""

Dsn = Annotated[SecretStr, AfterValidator(_checked_dsn)]
"""A Postgres DSN; its password never shows up in a repr, a log or a validation error."""


class ServiceSettings(BaseSettings):
    """The settings that both services have.

    A subclass sets `model_config = SettingsConfigDict(env_prefix="TRIGGER_")` and overrides the three addresses.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    database_url: Dsn
    listen_database_url: Dsn | None = Field(default=None, description="direct, past pgbouncer; default: database_url")
    grpc_address: Address = "127.0.0.1:0"
    http_address: Address = "127.0.0.1:0"
    management_address: Address = "127.0.0.1:0"
    address_file: Path | None = Field(default=None, description="where the addresses really taken are written as JSON")
    migrate: Literal["auto", "check"] = "auto"
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    allow_insecure: bool = Field(default=False, description="may bind to other addresses than loopback")
    reuse_port: bool = Field(default=False, description="share the ports with other processes of the same service")
    max_message_bytes: int = Field(default=4 * 2**20, ge=64 * 1024, le=64 * 2**20, description="of one gRPC message")
    stop_seconds: float = Field(default=25.0, ge=0, le=3600, description="for draining, once told to stop")

    @property
    def dsn(self) -> str:
        """The pool's DSN, in clear."""
        return self.database_url.get_secret_value()

    @property
    def listen_dsn(self) -> str:
        """The DSN for LISTEN, in clear."""
        return (self.listen_database_url or self.database_url).get_secret_value()

    @classmethod
    def load(cls) -> Self:
        """Read the environment. InvalidArgument naming every variable that is missing or wrong, by its full name."""
        try:
            return cls()
        except pydantic.ValidationError as error:
            prefix = cls.model_config.get("env_prefix", "")
            raise InvalidArgument.from_violations(
                (
                    FieldViolation(f"{prefix}{'_'.join(map(str, item['loc']))}".upper(), item["msg"])
                    for item in error.errors(include_url=False, include_context=False, include_input=False)
                ),
                reason="INVALID_SETTINGS",
            ) from None
