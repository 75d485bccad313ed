"""The checks that are this repository's own find what they are for."""

import grimp
from importlinter import ContractCheck

from tools.contracts import OnlyContract
from tools.locks import foreign_places


def _checked(imported: str) -> ContractCheck:
    graph = grimp.ImportGraph()
    for module in ("service", "service.domain", "service.domain.rules", "service.storage"):
        graph.add_module(module)
    for module in ("re", "pydantic", "pydantic_not", "asyncpg"):
        graph.add_module(module, is_squashed=True)
    graph.add_import(importer="service.domain.rules", imported=imported)
    session = {"root_packages": ["service"]}
    options = {"packages": ["service.domain"], "allowed": ["pydantic"]}
    return OnlyContract("only", session, options).check(graph, verbose=False)


def test_the_standard_library_what_is_allowed_and_the_package_itself_may_be_imported() -> None:
    assert all(_checked(name).kept for name in ("re", "pydantic", "service.domain"))


def test_anything_else_is_named_with_its_importer() -> None:
    for name in ("asyncpg", "service.storage", "pydantic_not"):
        assert _checked(name).metadata == {"strays": [("service.domain.rules", name)]}


def test_a_lock_that_names_a_private_place_is_found_out() -> None:
    lock = """
    source = { registry = "https://pypi.org/simple" }
    url = "https://files.pythonhosted.org/packages/a/b.whl"
    url = "https://mirror.example/simple/b.whl"
    --find-links file:///opt/wheels
    source = { path = "../elsewhere" }
    """
    assert foreign_places(lock) == [
        "file:///opt/wheels",
        "https://mirror.example/simple/b.whl",
        'path = "../elsewhere"',
    ]
