"""The API as a whole: complete, commented, and reachable by REST without two methods in each other's way."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tests.unit.api_table import FIELDS, METHODS
from wakepoint.event.v1 import event_pb2
from wakepoint.runner.v1 import runner_pb2, runner_service_pb2
from wakepoint.trigger.v1 import trigger_pb2, trigger_service_pb2
from wakepoint.workflow.v1 import execution_pb2, graph_pb2

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    event_pb2,
    execution_pb2,
    graph_pb2,
    runner_pb2,
    runner_service_pb2,
    trigger_pb2,
    trigger_service_pb2,
)
SERVICES = (
    trigger_service_pb2.DESCRIPTOR.services_by_name["TriggerService"],
    runner_service_pb2.DESCRIPTOR.services_by_name["RunnerService"],
)
RPCS: dict[str, MethodDescriptor] = {method.name: method for service in SERVICES for method in service.methods}
MESSAGES: dict[str, Descriptor] = {
    m.name: m for module in MODULES for m in module.DESCRIPTOR.message_types_by_name.values()
}
# The services call these on each other; people have no use for them.
INTERNAL = {"ReportRunStates", "DeliverJobEvents"}
# Their events or items say themselves to which experiment they belong.
SCOPED_BY_ITEM = {"ReportJobEvent", "BatchReportJobEvents", "MatchJobEvent", "BatchStartRuns", "BatchWakeUp"}


def bindings(method: MethodDescriptor) -> list[http_pb2.HttpRule]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []


def verb_and_path(rule: http_pb2.HttpRule) -> tuple[str, str]:
    verb = rule.WhichOneof("pattern")
    assert verb is not None
    return verb, str(getattr(rule, verb))


def field_at(message: Descriptor, path: str) -> FieldDescriptor:
    first, *rest = path.split(".")
    field = message.fields_by_name[first]
    if not rest:
        return field
    assert field.message_type is not None
    return field_at(field.message_type, ".".join(rest))


def test_the_services_have_exactly_the_promised_methods() -> None:
    assert set(RPCS) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_requests_and_responses_have_every_promised_field(name: str) -> None:
    request, response = METHODS[name]
    assert set(request.split()) <= set(RPCS[name].input_type.fields_by_name)
    if response[:1].isupper():
        assert RPCS[name].output_type.name == response
    else:
        assert set(response.split()) <= set(RPCS[name].output_type.fields_by_name)


@pytest.mark.parametrize("message", FIELDS)
def test_messages_have_exactly_the_promised_fields(message: str) -> None:
    assert list(MESSAGES[message].fields_by_name) == FIELDS[message].split()


def test_every_method_has_a_request_of_its_own() -> None:
    assert {name: rpc.input_type.name for name, rpc in RPCS.items()} == {name: f"{name}Request" for name in RPCS}


def test_every_request_can_be_limited_to_an_experiment() -> None:
    without = {name for name, rpc in RPCS.items() if "experiment_id" not in rpc.input_type.fields_by_name}
    assert without == SCOPED_BY_ITEM | INTERNAL


def test_paging_is_the_same_everywhere() -> None:
    for rpc in RPCS.values():
        paged = "page_token" in rpc.input_type.fields_by_name
        assert paged == ("page_size" in rpc.input_type.fields_by_name), rpc.name
        assert paged == ("next_page_token" in rpc.output_type.fields_by_name), rpc.name


def test_only_watching_streams() -> None:
    assert [rpc.name for rpc in RPCS.values() if rpc.server_streaming or rpc.client_streaming] == ["WatchRun"]


def test_whether_a_trigger_is_enabled_can_be_missing() -> None:
    assert MESSAGES["TriggerConfig"].fields_by_name["is_enabled"].has_presence
    assert MESSAGES["BatchUpdateTriggerConfigsRequest"].fields_by_name["is_enabled"].has_presence


def test_every_method_for_people_has_rest() -> None:
    assert {name for name, rpc in RPCS.items() if not bindings(rpc)} == INTERNAL


def test_the_main_rest_path_of_every_method_is_versioned() -> None:
    paths = {name: verb_and_path(bindings(rpc)[0])[1] for name, rpc in RPCS.items() if name not in INTERNAL}
    assert [name for name, path in paths.items() if not path.startswith("/v1/")] == []


def test_established_rest_paths_are_kept() -> None:
    kept = {
        ("get", "/workflows/trigger_blueprints"): "ListTriggerBlueprints",
        ("get", "/workflows/{workflow_id}"): "GetWorkflow",
        ("put", "/workflows/{workflow_id}/trigger_configs"): "UpdateTriggerConfigs",
    }
    found = {verb_and_path(rule): name for name, rpc in RPCS.items() for rule in bindings(rpc)}
    assert kept.items() <= found.items()


def test_no_two_methods_share_a_verb_and_path() -> None:
    # Both services together: a proxy may put them behind one address.
    claims = [verb_and_path(rule) for rpc in RPCS.values() for rule in bindings(rpc)]
    shapes = [(verb, re.sub(r"\{[^}]*\}", "{}", path)) for verb, path in claims]
    assert sorted(set(shapes)) == sorted(shapes)
    # CloudEvents' and webhooks' own.
    assert not [path for _, path in claims if path == "/v1/events" or path.startswith("/hooks/")]


@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS.values() if rpc.name not in INTERNAL], ids=lambda rpc: rpc.name)
def test_rest_paths_and_bodies_name_fields_of_the_request(rpc: MethodDescriptor) -> None:
    for rule in bindings(rpc):
        verb, path = verb_and_path(rule)
        for variable in re.findall(r"\{([^}]*)\}", path):
            assert field_at(rpc.input_type, variable).type == FieldDescriptor.TYPE_STRING
        assert bool(rule.body) == (verb in {"post", "put", "patch"})
        assert rule.body in {"", "*"} or rule.body in rpc.input_type.fields_by_name
        assert not rule.response_body or rule.response_body in rpc.output_type.fields_by_name


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[descriptor_pb2.FileDescriptorProto]:
    """Our .proto files with their comments, which generated code does not have."""
    image = tmp_path_factory.mktemp("protos") / "image.binpb"
    includes = ["-I", str(ROOT / "protos"), "-I", str(Path(annotations_pb2.__file__).parents[2])]
    names = [str(path) for path in (ROOT / "protos").rglob("*.proto")]
    options = ["--include_source_info", f"--descriptor_set_out={image}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *includes, *options, *names], check=True)
    return list(descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file)


def parts(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Whatever should have a comment: its name, and its path in field numbers of descriptor.proto."""
    for i, message in enumerate(file.message_type):
        yield message.name, (4, i)
        yield from ((f"{message.name}.{field.name}", (4, i, 2, j)) for j, field in enumerate(message.field))
    for i, enum in enumerate(file.enum_type):
        yield enum.name, (5, i)
        yield from ((value.name, (5, i, 2, j)) for j, value in enumerate(enum.value))
    for i, service in enumerate(file.service):
        yield service.name, (6, i)
        yield from ((method.name, (6, i, 2, j)) for j, method in enumerate(service.method))


def test_everything_has_a_comment(sources: list[descriptor_pb2.FileDescriptorProto]) -> None:
    bare = []
    for file in sources:
        commented = {tuple(x.path) for x in file.source_code_info.location if x.leading_comments.strip()}
        bare += [name for name, path in parts(file) if path not in commented]
    assert len(sources) == len(MODULES)
    assert bare == []


def test_generated_modules_import_without_warnings() -> None:
    names = [module.__name__ for module in MODULES]
    names += [f"{name}_grpc" for name in names if name.endswith("_service_pb2")]
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {', '.join(names)}"], check=True, cwd=ROOT)
