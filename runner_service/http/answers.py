"""How a webhook is answered."""

from typing import assert_never

from starlette.responses import JSONResponse, Response

from runner_service.domain.runs import Disposition
from runner_service.usecases.deliver_events import WakeResult


class Refused(Exception):
    """The request ends here. `reason` is for programs, the message for people."""

    def __init__(self, status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = headers or {}

    def as_json(self) -> Response:
        """The answer to a program."""
        return JSONResponse({"reason": self.reason, "message": self.message}, self.status, self.headers)


def status_of(disposition: Disposition) -> int:
    """The HTTP status that says what became of an event."""
    match disposition:
        case Disposition.DELIVERED | Disposition.BUFFERED | Disposition.DUPLICATE:
            return 202
        case Disposition.NO_SUCH_RUN | Disposition.NO_SUCH_NODE:
            return 404
        case Disposition.AMBIGUOUS:
            return 409
        case Disposition.FINISHED | Disposition.EXPIRED:
            return 410
        case Disposition.TOO_LARGE:
            return 413
        case Disposition.INBOX_FULL:
            return 429
        case _:
            assert_never(disposition)


def delivery_as_json(result: WakeResult, event_id: str) -> Response:
    """The answer to a program whose event was handed on."""
    status = status_of(result.disposition)
    body = {"disposition": result.disposition.value, "event_id": event_id}
    if result.message:
        body["message"] = result.message
    return JSONResponse(body, status, {"Retry-After": "1"} if status == 429 else None)
