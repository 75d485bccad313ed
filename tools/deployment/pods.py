"""What every pod must keep: the `restricted` Pod Security Standard and more, a pinned image, room, time to stop."""

from collections.abc import Iterator

from tools.deployment.manifests import Object, containers_of, name_of, of_kind, pod_of

# Once told to stop: STOP_SECONDS for draining, then calls and requests under way, and closing the pool.
_AFTER_DRAIN_SECONDS = 15
_VOLUMES = {"emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}


def faults(objects: list[Object], version: str) -> Iterator[str]:
    """Every fault of every pod, each with the object's name. `version` is the project's, which its image must have."""
    for deployment in of_kind(objects, "Deployment"):
        where = name_of(deployment)
        yield from (f"{where}: {fault}" for fault in _of_pod(pod_of(deployment)))
        for container in containers_of(deployment):
            at = f"{where}: {container['name']}"
            yield from (f"{at}: {fault}" for fault in _of_image(container["image"], version))
            yield from (f"{at}: {fault}" for fault in _of_container(container))


def unpinned(image: str) -> bool:
    """Whether what an image's name leads to may change from one day to the next."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return not digest and tag in {"", "latest"}


def stop_faults(deployment: Object, stop_seconds: float) -> Iterator[str]:
    """Whether the pod is killed before the service could have stopped by itself."""
    pod = pod_of(deployment)
    pause = max(_pause(container) for container in pod["containers"])
    needed = pause + stop_seconds + _AFTER_DRAIN_SECONDS
    granted = pod.get("terminationGracePeriodSeconds", 30)
    if granted < needed:
        yield f"is killed after {granted} s, but may need {needed:g} s to stop"


def _pause(container: Object) -> float:
    return float(container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))


def _of_pod(pod: Object) -> Iterator[str]:
    security = pod.get("securityContext", {})
    wanted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    yield from (f"{key} is not {value}" for key, value in wanted.items() if security.get(key) != value)
    yield from (f"{key} is root, or left to the image" for key in ("runAsUser", "runAsGroup") if not security.get(key))
    off = ("automountServiceAccountToken", "enableServiceLinks")
    yield from (f"{key} is not false" for key in off if pod.get(key) is not False)
    yield from (f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
    for volume in pod.get("volumes", []):
        if not volume.keys() & _VOLUMES:
            yield f"volume {volume['name']} is of a kind that `restricted` refuses"


def _of_image(image: str, version: str) -> Iterator[str]:
    if unpinned(image):
        yield f"image {image} has no tag of its own"
    elif not image.partition("@")[0].endswith(f"wakepoint:{version}"):
        yield f"image {image} is not wakepoint:{version}, which this code is"


def _of_container(container: Object) -> Iterator[str]:
    security = container.get("securityContext", {})
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for key, value in wanted.items():
        if security.get(key) != value:
            yield f"{key} is not {value}"
    for key in security.keys() - wanted.keys():
        yield f"{key} is set for the container: say it for the pod"
    resources = container.get("resources", {})
    for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if name not in resources.get(kind, {}):
            yield f"resources.{kind}.{name} is missing"
