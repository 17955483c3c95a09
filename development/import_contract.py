"""An import-linter contract: other rooms import only the public modules of a room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class PublicModulesContract(Contract):
    """Checks every direct import between two packages of `container`, imports under TYPE_CHECKING too.

    `public_modules` are the names that each package makes public; `additional_modules` the full names of further public
    modules. `unchecked_importers`, and the modules in them, may import anything.
    """

    type_name = "public_modules"

    # Any: import-linter replaces each field by its value when it reads the configuration
    container: Any = fields.StringField()
    public_modules: Any = fields.SetField(subfield=fields.StringField())
    additional_modules: Any = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    unchecked_importers: Any = fields.SetField(subfield=fields.StringField(), required=False, default=set())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        violations = sorted(set(self._violations(graph)))
        return ContractCheck(kept=not violations, metadata={"violations": violations})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["violations"]:
            output.print_error(f"- {importer} -> {imported}", bold=False)

    def _violations(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        container: str = self.container
        rooms = {child for child in graph.find_children(container) if graph.find_children(child)}
        for room in rooms:
            public = {room, *(f"{room}.{name}" for name in self.public_modules), *self.additional_modules}
            for imported in graph.find_descendants(room) - public:
                for importer in graph.find_modules_that_directly_import(imported):
                    inside = importer == room or importer.startswith(f"{room}.")
                    if importer.startswith(f"{container}.") and not inside and self._is_checked(importer):
                        yield importer, imported

    def _is_checked(self, importer: str) -> bool:
        return not any(importer == one or importer.startswith(f"{one}.") for one in self.unchecked_importers)
