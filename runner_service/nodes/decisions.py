"""What a person answered to an approval, read from a payload that anybody may have sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ANSWERS = {"approve": True, "reject": False}
_MAX_NAME = 200
_MAX_COMMENT = 4_000


@dataclass(frozen=True, slots=True)
class Decision:
    """`approver` is who the answer says it is from, or empty; the runner has no proof of it."""

    approved: bool
    approver: str
    comment: str

    @property
    def output(self) -> str:
        """The output that is taken."""
        return "approved" if self.approved else "rejected"

    def as_mapping(self) -> dict[str, Any]:
        """The payload of the approval's output."""
        return {
            "approved": self.approved,
            "decision": "approve" if self.approved else "reject",
            "approver": self.approver,
            "comment": self.comment,
        }


class NoDecision(ValueError):
    """The payload decides nothing. `refused`: it is a decision, but of somebody who may not decide."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def read_decision(payload: Any, approvers: Sequence[str]) -> Decision:
    """The decision in a payload: `approved` (a boolean) or `decision` (`approve` or `reject`), `approver`, `comment`.

    Raises NoDecision.
    """
    if not isinstance(payload, Mapping):
        raise NoDecision('an approval takes an object such as {"decision": "approve", "approver": "ada"}')
    approver = _text(payload, "approver", _MAX_NAME).strip()
    decision = Decision(_answer(payload), approver, _text(payload, "comment", _MAX_COMMENT))
    if approvers and approver not in approvers:
        who = f"{approver!r} is" if approver else "an unnamed approver is"
        raise NoDecision(f"{who} not among the approvers", refused=True)
    return decision


def _answer(payload: Mapping[str, Any]) -> bool:
    approved, decision = payload.get("approved"), payload.get("decision")
    if approved is None and decision is None:
        raise NoDecision("approved (true or false) or decision (approve or reject) is missing")
    if approved is not None and not isinstance(approved, bool):
        raise NoDecision("approved must be true or false")
    if decision is not None and not (isinstance(decision, str) and decision in _ANSWERS):
        raise NoDecision("decision must be approve or reject")
    answers = {approved, None if decision is None else _ANSWERS[decision]} - {None}
    if len(answers) > 1:
        raise NoDecision("approved and decision contradict each other")
    return answers.pop() is True


def _text(payload: Mapping[str, Any], name: str, limit: int) -> str:
    value = payload.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NoDecision(f"{name} must be text")
    if len(value) > limit:
        raise NoDecision(f"{name} must have at most {limit} characters")
    return value
