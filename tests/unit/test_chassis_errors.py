from datetime import timedelta

import grpc
import pydantic
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from wakepoint.chassis import errors, status


class _Retry(pydantic.BaseModel):
    max_attempts: int


class _Node(pydantic.BaseModel):
    type: str
    retry: _Retry

    @pydantic.field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "Bogus":
            raise ValueError("unknown node type")
        return value


class _Graph(pydantic.BaseModel):
    nodes: list[_Node]


def _faults_of(value: object) -> list[errors.FieldViolation]:
    with pytest.raises(pydantic.ValidationError) as caught:
        _Graph.model_validate(value)
    return errors.from_validation_error(caught.value, prefix="graph")


def test_an_error_without_a_reason_has_its_class_reason() -> None:
    assert errors.NotFound("gone").reason == "NOT_FOUND"
    assert errors.CommitUnknown("?").reason == "COMMIT_UNKNOWN"


def test_metadata_is_text() -> None:
    error = errors.NotFound("no run", reason="RUN_NOT_FOUND", run_id="r1", seq=7)
    assert error.metadata == {"run_id": "r1", "seq": "7"}


def test_all_faults_are_collected_before_one_error_is_raised() -> None:
    faults = errors.Violations()
    faults.raise_if_any()
    faults.add("a", "is missing")
    faults.extend([errors.FieldViolation("b[1]", "is negative")])
    with pytest.raises(errors.InvalidArgument, match=r"^a: is missing; b\[1\]: is negative$") as caught:
        faults.raise_if_any(reason="INVALID_GRAPH")
    assert [v.field for v in caught.value.violations] == ["a", "b[1]"]
    assert caught.value.reason == "INVALID_GRAPH"
    assert len(faults) == 2


def test_pydantic_faults_are_named_by_their_path_without_repeating_the_input() -> None:
    faults = _faults_of({"nodes": [{"type": "Bogus", "retry": {"max_attempts": "s3cret"}}, {"type": "X"}]})
    assert [f.field for f in faults] == [
        "graph.nodes[0].type",
        "graph.nodes[0].retry.max_attempts",
        "graph.nodes[1].retry",
    ]
    assert faults[0].description == "unknown node type"
    assert "s3cret" not in faults[1].description


def test_a_fault_of_the_whole_is_named_by_the_prefix() -> None:
    assert _faults_of("no graph")[0].field == "graph"


@pytest.mark.parametrize(
    ("error", "code", "http"),
    [
        (errors.InvalidArgument("x"), grpc.StatusCode.INVALID_ARGUMENT, 400),
        (errors.NotFound("x"), grpc.StatusCode.NOT_FOUND, 404),
        (errors.AlreadyExists("x"), grpc.StatusCode.ALREADY_EXISTS, 409),
        (errors.FailedPrecondition("x"), grpc.StatusCode.FAILED_PRECONDITION, 400),
        (errors.Aborted("x"), grpc.StatusCode.ABORTED, 409),
        (errors.TransactionConflict("x"), grpc.StatusCode.ABORTED, 409),
        (errors.ResourceExhausted("x"), grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (errors.Unauthenticated("x"), grpc.StatusCode.UNAUTHENTICATED, 401),
        (errors.PermissionDenied("x"), grpc.StatusCode.PERMISSION_DENIED, 403),
        (errors.Unavailable("x"), grpc.StatusCode.UNAVAILABLE, 503),
        (errors.CommitUnknown("x"), grpc.StatusCode.UNAVAILABLE, 503),
        (errors.Unimplemented("x"), grpc.StatusCode.UNIMPLEMENTED, 501),
        (ValueError("x"), grpc.StatusCode.INTERNAL, 500),
        (errors.WakepointError("x"), grpc.StatusCode.INTERNAL, 500),
    ],
)
def test_every_error_has_its_place_in_the_table(error: Exception, code: grpc.StatusCode, http: int) -> None:
    assert status.code_of(error) is code
    assert status.http_status_of(error) == http


def test_every_class_of_the_taxonomy_is_in_the_table() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WakepointError)
    ]
    assert len(kinds) > 10
    strangers = [k.__name__ for k in kinds if status.code_of(k("x")) is grpc.StatusCode.INTERNAL]
    assert strangers == ["WakepointError"]


def test_a_status_carries_error_info_and_every_faulty_field() -> None:
    found = status.to_status(errors.InvalidArgument.of("job_id", "is missing", reason="NO_JOB", hint="x"))
    info, bad = ErrorInfo(), BadRequest()
    assert found.details[0].Unpack(info)
    assert found.details[1].Unpack(bad)
    assert (found.code, info.reason, info.domain, dict(info.metadata)) == (3, "NO_JOB", "wakepoint", {"hint": "x"})
    assert [(v.field, v.description) for v in bad.field_violations] == [("job_id", "is missing")]


def test_an_exhausted_limit_says_when_to_come_back() -> None:
    found = status.to_status(errors.ResourceExhausted("full", retry_after=timedelta(seconds=2.5)))
    retry = RetryInfo()
    assert found.details[1].Unpack(retry)
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=2.5)


def test_an_unexpected_error_leaks_nothing() -> None:
    found = status.to_status(KeyError("password=hunter2"))
    assert (found.code, found.message, len(found.details)) == (13, "internal error", 0)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgument.of("a.b", "is wrong", reason="R", key="v"),
        errors.NotFound("no such run", reason="RUN_NOT_FOUND", run_id="r1"),
        errors.ResourceExhausted("full", retry_after=timedelta(seconds=3)),
        errors.Unavailable("away"),
    ],
)
def test_an_error_survives_the_wire(error: errors.WakepointError) -> None:
    found = status.from_status(Status.FromString(status.to_status(error).SerializeToString()))
    assert found is not None
    assert type(found) is type(error)
    assert (found.message, found.reason, found.metadata) == (error.message, error.reason, error.metadata)
    assert getattr(found, "violations", ()) == getattr(error, "violations", ())
    assert getattr(found, "retry_after", None) == getattr(error, "retry_after", None)


def test_a_peers_internal_error_is_no_error_of_the_taxonomy() -> None:
    assert status.from_status(Status(code=13, message="internal error")) is None


def test_a_peers_broken_detail_does_not_hide_its_status() -> None:
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
    found = status.from_status(Status(code=5, message="gone", details=[broken]))
    assert isinstance(found, errors.NotFound)
    assert found.message == "gone"
