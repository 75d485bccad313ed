"""Rendering what is under deploy/kustomize, and asking Kubernetes' own schemas about it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml  # type: ignore[import-untyped]

from tools.deployment.programs import output_of

Object = dict[str, Any]

KUSTOMIZE = Path("deploy/kustomize")
BASE = Path("base")
EXAMPLE = Path("overlays/example")
# The oldest one that knows all that is used here (pausing before a stop), one between, and the newest that ships.
VERSIONS = ("1.30", "1.33", "1.37")


def render(root: Path, directory: Path) -> list[Object]:
    """The objects of one directory under deploy/kustomize. CalledProcessError, with what kubectl said, if it fails.

    It renders a copy in which every `*.env.example` also stands under the name that users give it.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kustomize"
        shutil.copytree(root / KUSTOMIZE, copy, ignore=shutil.ignore_patterns(".env", "*.env.local"))
        for example in copy.rglob("*.env.example"):
            shutil.copy(example, example.with_suffix(""))
        rendered = output_of(root, "kubectl", "kustomize", str(copy / directory))
    return [item for item in yaml.safe_load_all(rendered) if item]


def invalid(objects: list[Object]) -> Iterator[str]:
    """What the schemas of `VERSIONS` refuse, unknown fields among it."""
    for version in VERSIONS:
        for item in objects:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name_of(item)}: Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{name_of(item)}: Kubernetes {version}: {error.message}"


def name_of(item: Object) -> str:
    """Kind and name, as kubectl writes them."""
    return f"{item['kind']}/{item['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def pod_of(deployment: Object) -> Object:
    """The spec of its pods."""
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


def containers_of(deployment: Object) -> list[Object]:
    """Every container of its pods, those that only run first among them."""
    pod = pod_of(deployment)
    return [*pod.get("initContainers", []), *pod["containers"]]
