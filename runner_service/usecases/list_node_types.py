"""ListNodeTypes."""

from runner_service.nodes.registry import NodeRegistry, NodeTypeDescription


def list_node_types(registry: NodeRegistry) -> list[NodeTypeDescription]:
    """What graphs may use on this runner, by name."""
    return registry.describe()
