"""Whether what names something names something that is there: ports, paths, selectors, accounts, maps, secrets."""

from collections.abc import Iterator

from tools.deployment.manifests import Object, containers_of, name_of, of_kind, pod_of

_PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def faults(objects: list[Object], served: set[str]) -> Iterator[str]:
    """Every fault, each with the object's name. `served` are the paths of the management port."""
    for deployment in of_kind(objects, "Deployment"):
        for container in pod_of(deployment)["containers"]:
            at = f"{name_of(deployment)}: {container['name']}"
            yield from (f"{at}: {fault}" for fault in _of_probes(container, served))
    for item in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        yield from (f"{name_of(item)}: {fault}" for fault in _of_selection(item, objects))
    for deployment in of_kind(objects, "Deployment"):
        yield from _uncovered(deployment, objects)


def dangling(objects: list[Object]) -> Iterator[str]:
    """What a Deployment refers to and the same rendering does not hold; only for one that is to be applied as it is."""
    held = {kind: {item["metadata"]["name"]: item for item in of_kind(objects, kind)} for kind in _KINDS}
    for deployment in of_kind(objects, "Deployment"):
        for kind, name, key in _references(deployment):
            item = held[kind].get(name)
            if item is None:
                yield f"{name_of(deployment)}: there is no {kind} {name}"
            elif key and key not in {**item.get("data", {}), **item.get("stringData", {})}:
                yield f"{name_of(deployment)}: {kind} {name} has no key {key}"


_KINDS = ("ServiceAccount", "ConfigMap", "Secret")


def _references(deployment: Object) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key (or "") of everything that the pods refer to."""
    yield "ServiceAccount", pod_of(deployment)["serviceAccountName"], ""
    for container in containers_of(deployment):
        for source in container.get("envFrom", []):
            for kind in ("configMap", "secret"):
                if f"{kind}Ref" in source:
                    yield kind[0].upper() + kind[1:], source[f"{kind}Ref"]["name"], ""
        for variable in container.get("env", []):
            for kind in ("configMap", "secret"):
                found = variable.get("valueFrom", {}).get(f"{kind}KeyRef")
                if found:
                    yield kind[0].upper() + kind[1:], found["name"], found["key"]


def ports_of(container: Object) -> dict[str, int]:
    """The ports that a container declares, by name."""
    return {port["name"]: port["containerPort"] for port in container.get("ports", [])}


def _of_probes(container: Object, served: set[str]) -> Iterator[str]:
    for kind, path in _PROBES.items():
        probe = container.get(kind, {}).get("httpGet", {})
        if probe.get("path") != path or path not in served:
            yield f"{kind} asks {probe.get('path')}, not {path}; served are {', '.join(sorted(served))}"
        if probe.get("port") != "management" or "management" not in ports_of(container):
            yield f"{kind} asks port {probe.get('port')}, not the management port"


def _selector(item: Object) -> dict[str, str]:
    spec = item["spec"]
    if item["kind"] == "Service":
        return dict(spec["selector"])
    return dict(spec["podSelector" if item["kind"] == "NetworkPolicy" else "selector"]["matchLabels"])


def selects(item: Object, deployment: Object) -> bool:
    """Whether an object's selector takes a Deployment's pods."""
    labels: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return _selector(item).items() <= labels.items()


def _of_selection(item: Object, objects: list[Object]) -> Iterator[str]:
    selected = [deployment for deployment in of_kind(objects, "Deployment") if selects(item, deployment)]
    if len(selected) != 1:
        yield f"selects the pods of {len(selected)} Deployments, not of one"
        return
    (container,) = pod_of(selected[0])["containers"]
    ports = ports_of(container)
    if item["kind"] == "Service":
        for port in item["spec"]["ports"]:
            # A headless Service leads straight to the pods: nobody translates ports there.
            if ports.get(port["targetPort"]) != port["port"]:
                yield f"port {port['port']} -> {port['targetPort']} is none of {ports}"
    if item["kind"] == "NetworkPolicy":
        for rule in item["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                if port["port"] not in ports:
                    yield f"lets port {port['port']} in, which is none of {', '.join(ports)}"


def _uncovered(deployment: Object, objects: list[Object]) -> Iterator[str]:
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        if not any(selects(item, deployment) for item in of_kind(objects, kind)):
            yield f"{name_of(deployment)}: no {kind} selects its pods"
