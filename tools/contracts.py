"""A kind of contract for import-linter that it lacks: what a package may import, rather than what it may not."""

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """The modules of `packages` import themselves, the standard library and `allowed`, and nothing else directly."""

    type_name = "only"

    # Their options' values replace these descriptions of them on each contract.
    packages: Any = fields.SetField(subfield=fields.StringField())
    allowed: Any = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Finds the imports that no name in `allowed` covers."""
        modules = [module for package in self.packages for module in (package, *graph.find_descendants(package))]
        strays = sorted(
            (module, imported)
            for module in modules
            for imported in graph.find_modules_directly_imported_by(module)
            if not self._covers(imported)
        )
        return ContractCheck(kept=not strays, metadata={"strays": strays})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Shows one line for every stray import."""
        for module, imported in check.metadata["strays"]:
            output.print_error(f"{module} may not import {imported}", bold=False)

    def _covers(self, imported: str) -> bool:
        known = {*self.packages, *self.allowed}
        return imported.split(".", maxsplit=1)[0] in sys.stdlib_module_names or any(
            imported == name or imported.startswith(f"{name}.") for name in known
        )
