"""Where a page token says that a walk stands. A client can forge one: nothing in it is believed to be well formed."""

from datetime import datetime

from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.ids import parse_id
from wakepoint.chassis.paging import PageToken


def text_at(token: PageToken, index: int) -> str:
    """A part of the token's key that was written by `printable`. InvalidArgument."""
    try:
        return bytes.fromhex(str(token.key[index])).decode()
    except (ValueError, IndexError):
        raise _forged() from None


def printable(text: str) -> str:
    """A text of any characters as a part of a key."""
    return text.encode().hex()


def id_at(token: PageToken, index: int) -> str:
    """An id in the token's key. InvalidArgument."""
    try:
        return parse_id(str(token.key[index]), "page_token")
    except IndexError:
        raise _forged() from None


def number_at(token: PageToken, index: int) -> int:
    """A number in the token's key. InvalidArgument."""
    if len(token.key) <= index or not isinstance(number := token.key[index], int):
        raise _forged()
    return number


def time_at(token: PageToken, index: int) -> datetime:
    """An aware time in ISO 8601 in the token's key. InvalidArgument."""
    try:
        moment = datetime.fromisoformat(str(token.key[index]))
    except (ValueError, IndexError):
        raise _forged() from None
    if moment.tzinfo is None:
        raise _forged()
    return moment


def _forged() -> InvalidArgument:
    return InvalidArgument.of("page_token", "is not a token that this service gave out", reason="INVALID_PAGE_TOKEN")
