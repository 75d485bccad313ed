from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.integration.trigger.harness import TYPES, Harness
from trigger_service.http.app import http_app
from trigger_service.http.rest import make_rest
from trigger_service.rpc.servicer import Servicer, register
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics

MAX_BODY_BYTES = 1_000_000


@pytest.fixture
async def client(service: Harness) -> AsyncIterator[httpx.AsyncClient]:
    serving = partial(register, Servicer(service.env))
    app = http_app(make_rest(service.env, serving, [ServerInterceptor(Metrics())], MAX_BODY_BYTES))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://trigger") as the_client:
        yield the_client


def body(**on: Any) -> dict[str, Any]:
    return {"configs": [{"trigger_type": kind, "is_enabled": on.get(kind, False)} for kind in TYPES]}


async def test_the_blueprints_are_a_bare_array(client: httpx.AsyncClient) -> None:
    answer = await client.get("/workflows/trigger_blueprints")
    assert answer.json()[0] == {
        "trigger_type": "TRAIN",
        "name": "On Training Completed",
        "description": "Starts the workflow when a training job in its experiment completes.",
        "default_is_enabled": False,
    }
    assert len(answer.json()) == 6


async def test_a_workflow_is_shown_with_defaults_printed(client: httpx.AsyncClient, service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    answer = (await client.get(f"/workflows/{workflow_id}", params={"experiment_id": "e1"})).json()
    assert (answer["workflow_id"], answer["disabled_reason"], answer["paused"]) == (workflow_id, "", False)
    assert [(config["trigger_type"], config["is_enabled"]) for config in answer["trigger_configs"]] == [
        (kind, kind == "TRAIN") for kind in TYPES
    ]


async def test_configs_are_put_and_the_bare_workflow_comes_back(client: httpx.AsyncClient, service: Harness) -> None:
    workflow_id = await service.workflow()
    answer = await client.put(f"/workflows/{workflow_id}/trigger_configs", json=body(EVAL=True))
    assert answer.status_code == 200
    assert [c["trigger_type"] for c in answer.json()["trigger_configs"] if c["is_enabled"]] == ["EVAL"]
    assert answer.json() == (await client.get(f"/workflows/{workflow_id}")).json()


async def test_what_is_no_boolean_or_no_dictionary_is_named_beside_every_other_fault(
    client: httpx.AsyncClient, service: Harness
) -> None:
    workflow_id = await service.workflow()
    configs: list[Any] = [{"trigger_type": "TRAIN", "is_enabled": "true"}, {"trigger_type": "EVAL"}, "GENERATE", None]
    answer = await client.put(f"/workflows/{workflow_id}/trigger_configs", json={"configs": configs})
    assert answer.status_code == 400
    [bad] = [detail for detail in answer.json()["details"] if detail["@type"].endswith("BadRequest")]
    assert [(item["field"], item["description"]) for item in bad["field_violations"]] == [
        ("configs", "exactly 6 trigger configurations are required, not 4"),
        ("configs[0].is_enabled", "must be a boolean"),
        ("configs[1].is_enabled", "must be a boolean"),
        ("configs[2]", "must be a dictionary"),
        ("configs[3]", "must be a dictionary"),
        ("configs", "Missing trigger_type: DOWNLOAD_MODEL, LOAD_MODEL, EXPORT_MODEL, GENERATE"),
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "body: must be JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"[" * 100_000, "body: must be JSON: nested too deep"),
        (b"\xff", "body: must be JSON: not UTF-8 at byte 0"),
        (b'{"etag": NaN}', "body: must be JSON: NaN is no number"),
        (b'{"etag": "a", "etag": "b"}', "body: must be JSON: 'etag' comes twice in an object"),
        (b"[]", "body: must be a dictionary"),
        (b'{"configs": 5}', "configs: must be a list"),
    ],
)
async def test_a_body_that_is_not_what_it_should_be_is_refused(
    client: httpx.AsyncClient, service: Harness, content: bytes, fault: str
) -> None:
    workflow_id = await service.workflow()
    answer = await client.put(f"/workflows/{workflow_id}/trigger_configs", content=content)
    assert (answer.status_code, answer.json()["message"]) == (400, fault)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/workflows/17", 404),
        ("/workflows/018f0000-0000-7000-8000-000000000000", 404),
        ("/workflows/%00", 400),
    ],
)
async def test_an_unknown_workflow_is_told_as_a_status(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.json()["details"][0]["domain"] == "wakepoint"


async def test_another_experiments_workflow_is_not_found_over_rest_either(
    client: httpx.AsyncClient, service: Harness
) -> None:
    workflow_id = await service.workflow(experiment_id="e1")
    path = f"/workflows/{workflow_id}"
    assert (await client.get(path, params={"experiment_id": "e2"})).status_code == 404
    other = await client.put(f"{path}/trigger_configs", params={"experiment_id": "e2"}, json=body())
    assert other.status_code == 404


async def test_a_stale_etag_conflicts(client: httpx.AsyncClient, service: Harness) -> None:
    workflow_id = await service.workflow()
    path = f"/workflows/{workflow_id}"
    etag = (await client.get(path)).headers["ETag"]
    fresh = await client.put(f"{path}/trigger_configs", json=body(TRAIN=True), headers={"If-Match": etag})
    assert fresh.status_code == 200
    stale = await client.put(f"{path}/trigger_configs", json={**body(), "etag": etag})
    assert stale.status_code == 409


async def test_a_body_without_end_is_cut_off(client: httpx.AsyncClient, service: Harness) -> None:
    workflow_id = await service.workflow()
    answer = await client.put(f"/workflows/{workflow_id}/trigger_configs", content=b" " * 2_000_000)
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (413, "BODY_TOO_LARGE")


async def test_the_index_names_the_paths(client: httpx.AsyncClient) -> None:
    assert "GET /workflows/trigger_blueprints" in (await client.get("/")).json()["paths"]
