"""All SQL that the region executes, found in its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import regiond

_FOLDER = Path(regiond.__file__).parent
_METHODS = frozenset({"fetch", "fetchrow", "fetchval", "execute", "executemany", "cursor"})


@cache
def statements() -> Mapping[str, str]:
    """The statements by the place that names them, such as `regiond.hosts.store._INSERT`.

    Each is the first argument of a call of a connection: a constant, one of two, or one of a table.
    """
    found: dict[str, str] = {}
    for path in sorted(_FOLDER.rglob("*.py")):
        name = ".".join(path.relative_to(_FOLDER.parent).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if _is_execution(node)]
        if not calls:
            continue
        module = import_module(name.removesuffix(".__init__"))
        for call in calls:
            assert isinstance(call, ast.Call)
            for place, text in _texts(call.args[0], module):
                found[f"{name}.{place}"] = text
    return found


def unresolved() -> list[str]:
    """Executed statements that no constant of a module holds, as `module: expression`."""
    return sorted(place for place, text in statements().items() if text == "")


def _is_execution(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="db" | "connection"), attr=attribute), args=[_, *_]):
            return attribute in _METHODS
        case _:
            return False


def _texts(expression: ast.expr, module: ModuleType) -> Iterator[tuple[str, str]]:
    if isinstance(expression, ast.IfExp):
        yield from _texts(expression.body, module)
        yield from _texts(expression.orelse, module)
        return
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        yield f"line {expression.lineno}", expression.value
        return
    if isinstance(expression, ast.Subscript):
        table = _value(expression.value, module)
        if isinstance(table, Mapping):
            for key, text in table.items():
                yield f"{ast.unparse(expression.value)}[{key}]", str(text)
            return
    value = _value(expression, module)
    yield ast.unparse(expression), value if isinstance(value, str) else ""


def _value(expression: ast.expr, module: ModuleType) -> object:
    if isinstance(expression, ast.Name):
        return getattr(module, expression.id, None)
    if isinstance(expression, ast.Attribute) and isinstance(expression.value, ast.Name):
        return getattr(getattr(module, expression.value.id, None), expression.attr, None)
    return None
