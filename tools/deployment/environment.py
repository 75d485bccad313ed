"""Whether the services would start with what the manifests set, and listen and look where the manifests say."""

from collections.abc import Iterator, Mapping

from tools.deployment import services
from tools.deployment.manifests import Object, containers_of, name_of, of_kind, pod_of
from tools.deployment.pods import stop_faults
from tools.deployment.services import Service
from tools.deployment.wiring import ports_of
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.settings import ServiceSettings

_DSN = "postgresql://role:secret@postgres:5432/wakepoint"  # what a Secret will hold


def faults(objects: list[Object], known: Mapping[str, Service]) -> Iterator[str]:
    """Every fault, each with the object's name."""
    for deployment in of_kind(objects, "Deployment"):
        for container in containers_of(deployment):
            at = f"{name_of(deployment)}: {container['name']}"
            service = known.get(container["command"][0])
            if service is None:
                yield f"{at}: {container['command'][0]} is no service of this project"
                continue
            variables = environment_of(container, objects)
            yield from (f"{at}: {fault}" for fault in services.unknown(service, variables))
            yield from (f"{at}: {fault}" for fault in services.refused(service, variables))
        yield from (f"{name_of(deployment)}: {fault}" for fault in _of_serving(deployment, objects, known))


def environment_of(container: Object, objects: list[Object]) -> dict[str, str]:
    """The variables of a container, with a DSN for each that comes from a Secret."""
    maps = {item["metadata"]["name"]: item.get("data", {}) for item in of_kind(objects, "ConfigMap")}
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        variables |= maps.get(source["configMapRef"]["name"], {})
    for variable in container.get("env", []):
        variables[variable["name"]] = variable.get("value", _DSN)
    return variables


def _of_serving(deployment: Object, objects: list[Object], known: Mapping[str, Service]) -> Iterator[str]:
    (container,) = pod_of(deployment)["containers"]
    service = known.get(container["command"][0])
    if service is None:
        return
    try:
        settings = services.load(service, environment_of(container, objects))
    except InvalidArgument:
        return  # told already
    if settings.migrate != "check":
        yield "the service itself migrates: that is for the init container, which has the owner's DSN"
    if services.hosts_of(settings) != {"0.0.0.0"}:
        yield f"listens on {', '.join(sorted(services.hosts_of(settings)))}, where nobody reaches all of it"
    for ports in (services.ports_of(settings), service.default_ports()):
        if ports_of(container) != ports:
            yield f"declares ports {ports_of(container)}, but the code takes {ports}"
    yield from _of_peer(settings, objects)
    yield from stop_faults(deployment, settings.stop_seconds)


def _of_peer(settings: ServiceSettings, objects: list[Object]) -> Iterator[str]:
    host, port = services.peer_of(settings)
    found = {
        (item["metadata"]["name"], entry["port"])
        for item in of_kind(objects, "Service")
        for entry in item["spec"]["ports"]
        if entry["name"] == "grpc" and item["spec"].get("clusterIP") == "None"
    }
    if (host, port) not in found:
        yield f"looks for the other service at {host}:{port}, which is no headless Service's gRPC port"
