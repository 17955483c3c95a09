"""Each read that the API and the pages make of a service is limited to what its caller may see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import regiond
from tests.doubles.signatures import has_method, takes_caller
from tests.unit.support.api_double import SERVICES

FOLDER = Path(regiond.__file__).parent


def service_calls(source: str) -> Iterator[tuple[ast.Call, str, str]]:
    """Yields each call of the form `services.machines.read()`, with the names of the service and its method."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        service = node.func.value
        if (
            isinstance(service, ast.Attribute)
            and ast.unparse(service.value).rpartition(".")[2].lstrip("_") == "services"
        ):
            yield node, service.attr, node.func.attr


def test_each_read_of_a_service_names_its_caller() -> None:
    checked, without = 0, []
    for path in sorted([*FOLDER.glob("api/**/*.py"), *FOLDER.glob("ui/**/*.py"), *FOLDER.glob("clients/*.py")]):
        for call, service, method in service_calls(path.read_text()):
            assert has_method(SERVICES[service], method), f"{path}:{call.lineno}"
            if takes_caller(SERVICES[service], method):
                checked += 1
                if "caller" not in {one.arg for one in call.keywords}:
                    without.append(f"{path}:{call.lineno}")
    assert without == []
    assert checked > 100
