"""Events of the log follow the rules of docs/reference/logs.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

CHECKOUT = Path(__file__).resolve().parents[3]
REFERENCE = CHECKOUT / "docs/reference/logs.md"
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
OWN_LINES = {"library_logged", "log_lines_lost"}  # of the format itself
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@frozen
class Logged:
    place: str
    level: str
    event: ast.expr
    fields: dict[str, str]

    @property
    def name(self) -> str:
        return self.event.value if isinstance(self.event, ast.Constant) and isinstance(self.event.value, str) else ""


def _logged() -> Iterator[Logged]:
    for path in (path for root in ("common", "regiond", "rackd") for path in (CHECKOUT / root).rglob("*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "log." in text else ():  # to parse every module takes seconds
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[event, *_]) if (
                    level in LEVELS
                ):
                    fields = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg}
                    yield Logged(f"{path.relative_to(CHECKOUT)}:{node.lineno}", level, event, fields)


@pytest.fixture(scope="module")
def logged() -> list[Logged]:
    return list(_logged())


def _section(title: str) -> set[str]:
    text = REFERENCE.read_text("utf-8").partition(f"\n### {title}\n")[2].partition("\n#")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_each_event_has_a_fixed_name(logged: list[Logged]) -> None:
    assert len(logged) > 150
    assert [one.place for one in logged if not _NAME.fullmatch(one.name)] == []


def test_ids_have_one_name(logged: list[Logged]) -> None:
    ids = {"host": r".*\bid\b|.*_id", "operation_id": ".*", "requestid": ".*"}
    wrong = [
        one.place
        for one in logged
        for name, pattern in ids.items()
        if name in one.fields and re.fullmatch(pattern, one.fields[name])
    ]
    assert wrong == [], "use host_id, operation, request_id"


def test_every_error_is_described(logged: list[Logged]) -> None:
    errors = {one.name for one in logged if one.level in ("error", "critical")}
    assert _section("Critical and error") == errors


@pytest.mark.parametrize(
    ("title", "level"), [("Warnings worth an alert if they repeat", "warning"), ("Info that is worth knowing", "info")]
)
def test_described_events_exist_at_their_level(logged: list[Logged], title: str, level: str) -> None:
    described = _section(title)
    assert len(described) > 8
    assert described - {one.name for one in logged if one.level == level} == set()
