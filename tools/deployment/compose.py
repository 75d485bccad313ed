"""compose.yaml and the Dockerfile: no engine reads them here, so at least what can be seen from outside is checked."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tools.deployment import services
from tools.deployment.pods import unpinned
from tools.deployment.services import Service

COMPOSE = Path("deploy/compose.yaml")
DOCKERFILE = Path("deploy/Dockerfile")
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}")


def faults(root: Path, version: str, known: Mapping[str, Service]) -> Iterator[str]:
    """Every fault in compose.yaml, each with the service's name."""
    text = (root / COMPOSE).read_text()
    described = {line.partition("=")[0] for line in (root / "deploy/.env.example").read_text().splitlines()}
    for name in sorted(set(_VARIABLE.findall(text)) - described):
        yield f"compose.yaml: {name} is not in .env.example"
    content = yaml.safe_load(_VARIABLE.sub("secret", text))
    for name, entry in content["services"].items():
        image = entry["image"]
        if unpinned(image) or (image.startswith("wakepoint:") and image != f"wakepoint:{version}"):
            yield f"compose.yaml: {name}: image {image} is not pinned, or not at {version}"
        if "command" in entry:
            yield from (f"compose.yaml: {name}: {fault}" for fault in _of_service(entry, content["services"], known))


def _of_service(entry: dict[str, Any], every: Mapping[str, Any], known: Mapping[str, Service]) -> Iterator[str]:
    service = known.get(entry["command"][0])
    if service is None:
        yield f"{entry['command'][0]} is no service of this project"
        return
    refused = [*services.unknown(service, entry["environment"]), *services.refused(service, entry["environment"])]
    yield from refused
    if refused or len(entry["command"]) > 1:
        return
    settings = services.load(service, entry["environment"])
    published = {f"127.0.0.1:{port}:{port}" for port in services.ports_of(settings).values()}
    if set(entry["ports"]) != published:
        yield f"publishes {', '.join(entry['ports'])}, not {', '.join(sorted(published))}"
    probe = f"127.0.0.1:{services.ports_of(settings)['management']}/readyz"
    if probe not in " ".join(entry["healthcheck"]["test"]) or "/readyz" not in services.served_paths():
        yield f"its health check does not ask {probe}"
    host, port = services.peer_of(settings)
    if not any(published.endswith(f":{port}") for published in every.get(host, {}).get("ports", [])):
        yield f"looks for the other service at {host}:{port}, where nothing listens"


def dockerfile_faults(root: Path) -> Iterator[str]:
    """What is wrong in the Dockerfile: a base that moves, root at run time, something copied that is not there."""
    lines = (root / DOCKERFILE).read_text().replace("\\\n", " ").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    arguments = dict(word[1].split("=", 1) for word in words if word[0] == "ARG" and "=" in word[1])
    for word in words:
        if word[0] == "FROM":
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], ""), word[1])
            if unpinned(base):
                yield f"Dockerfile: base image {base!r} has no tag of its own"
        if word[0] == "COPY" and not word[1].startswith("--from="):
            for source in word[1:-1]:
                if not (root / source).exists():
                    yield f"Dockerfile: {source} is copied, but does not exist"
    last_stage = words[max(number for number, word in enumerate(words) if word[0] == "FROM") :]
    users = [word[1] for word in last_stage if word[0] == "USER"]
    if not users or not re.fullmatch(r"[1-9][0-9]*(:[1-9][0-9]*)?", users[-1]):
        yield f"Dockerfile: it runs as {users[-1] if users else 'root'}, not as a number other than root's"
