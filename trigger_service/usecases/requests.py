"""request_id: the same request, sent again, answers with what the first one made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from trigger_service.domain.limits import id_problem
from trigger_service.domain.workflows import digest
from trigger_service.storage import workflows
from trigger_service.storage.workflows import Request
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import Aborted, AlreadyExists, Violations


@dataclass(frozen=True, slots=True)
class RequestKey:
    """One use of a request_id: its scope and a hash over what was asked. An empty `request_id` repeats nothing."""

    experiment_id: str
    method: str
    request_id: str
    body_hash: bytes

    @classmethod
    def of(cls, experiment_id: str, method: str, request_id: str, body: Mapping[str, Any]) -> RequestKey:
        """The key of a request with this body."""
        return cls(experiment_id, method, request_id, digest(body))

    def check(self, faults: Violations) -> None:
        """Note what is wrong with the request_id."""
        problem = id_problem(self.request_id, required=False)
        if problem is not None:
            faults.add("request_id", problem)

    async def earlier_result(self, connection: Connection) -> UUID | None:
        """What the request_id made before. AlreadyExists when it was used for another body."""
        if not self.request_id:
            return None
        found = await workflows.find_request(connection, self.experiment_id, self.method, self.request_id)
        if found is None:
            return None
        if found.body_hash != self.body_hash:
            raise AlreadyExists(
                f"request_id {self.request_id} was used before for another request",
                reason="REQUEST_ID_REUSED",
                request_id=self.request_id,
            )
        return found.result_id

    async def claim(self, connection: Connection, result_id: UUID) -> UUID:
        """Use the request_id for this result. The result that stands comes back: this one, or an earlier one."""
        if not self.request_id:
            return result_id
        request = Request(self.body_hash, result_id)
        if await workflows.claim_request(connection, self.experiment_id, self.method, self.request_id, request):
            return result_id
        earlier = await self.earlier_result(connection)
        if earlier is None:
            raise Aborted("the request was being handled and has vanished; send it again")
        return earlier
