"""What an HTTP request says besides its path: a body in JSON, a deadline, who sent it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request

from wakepoint.chassis.errors import InvalidArgument, PermissionDenied, ResourceExhausted
from wakepoint.chassis.transcoder.answers import Refusal

_FORM = "application/x-www-form-urlencoded"
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MAX_PARAMETERS = 2_000
_SAFE = ("GET", "HEAD", "OPTIONS")


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body. Refuses one of more than `limit` bytes, before reading it where the sender says how long it is."""
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not (declared.isdecimal() and int(declared) > limit):
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        except ClientDisconnect:
            raise Refusal(InvalidArgument("the sender went away", reason="DISCONNECTED"), 499) from None
    raise Refusal(ResourceExhausted(f"the body has more than {limit} bytes", reason="BODY_TOO_LARGE"), 413)


def check_is_json(request: Request, body: bytes) -> None:
    """Refuses a body that is declared as something else. `curl -d` calls everything a form; JSON in one is let pass."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise unsupported("the body must not be compressed")
    kind = media_type(request.headers)
    said_json = kind in ("", "application/json") or kind.endswith("+json")
    if body and not said_json and not (kind == _FORM and body.lstrip()[:1] in (b"{", b"[")):
        raise unsupported(f"the body must be application/json, not {kind[:100]}")


def unsupported(message: str) -> Refusal:
    """415."""
    return Refusal(InvalidArgument(message, reason="UNSUPPORTED_MEDIA_TYPE"), 415)


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without its parameters; "" for none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_json(body: bytes, field: str = "body") -> Any:
    """What JSON says. InvalidArgument with what is wrong and where; NaN, and a name that comes twice, are no JSON."""
    try:
        return json.loads(body, parse_constant=_no_number, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidArgument.of(field, f"must be JSON: {error.msg} at {where}", reason="MALFORMED_JSON") from None
    except RecursionError:
        raise InvalidArgument.of(field, "must be JSON: nested too deep", reason="MALFORMED_JSON") from None
    except UnicodeDecodeError as error:
        text = f"must be JSON: not UTF-8 at byte {error.start}"
        raise InvalidArgument.of(field, text, reason="MALFORMED_JSON") from None
    except ValueError as error:
        raise InvalidArgument.of(field, f"must be JSON: {error}", reason="MALFORMED_JSON") from None


def query_of(request: Request) -> Sequence[tuple[str, str]]:
    """The query's names and values in their order. InvalidArgument for one that is no UTF-8, or has far too many."""
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict")
    except ValueError:
        raise InvalidArgument.of("query", f"must be UTF-8, of at most {_MAX_PARAMETERS} parameters") from None


def timeout_of(headers: Mapping[str, str]) -> float | None:
    """Seconds in the header `grpc-timeout`, in the form that gRPC has for it. InvalidArgument for another form."""
    given = headers.get("grpc-timeout")
    if given is None:
        return None
    parts = _TIMEOUT.fullmatch(given)
    if parts is None:
        raise InvalidArgument.of("grpc-timeout", "must be a number of at most 8 digits and one of H, M, S, m, u, n")
    return int(parts[1]) * _SECONDS[parts[2]]


def refuse_other_origins(request: Request) -> None:
    """A browser that changes things on behalf of another site's page is refused, whatever the page declares."""
    if request.method in _SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign:
        raise PermissionDenied("pages of other sites may not change anything here", reason="CROSS_ORIGIN")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} comes twice in an object")
    return found
