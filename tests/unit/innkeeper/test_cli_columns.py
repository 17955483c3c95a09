"""Columns of tables name keys that the API answers; a list without columns of its own shows its first keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from innkeeper.api_description import command_of
from innkeeper.output.columns import Column
from innkeeper.output.keys import columns
from innkeeper.output.list_columns import LISTS
from innkeeper.output.object_lines import OBJECTS, PLACEMENT, USAGE
from innkeeper.output.tables import Paper, kind_of, rendered
from innkeeper.view import View
from regiond.api.resources.accounts.groups import POOL_WITH_STRATEGY_JSON
from regiond.api.resources.registry import SERVED
from regiond.api.serializers.groups import ZONE_JSON
from regiond.api.serializers.placement import PLACED_JSON
from regiond.api.serializers.usage import USAGE_JSON
from regiond.groups.model import ResourcePool, Zone

# Rows that the command makes, and a list in the explanation of an operation, whose keys no schema names.
_WITHOUT_SCHEMA = {"capacities", "tried"}
_SHOWN_AS = {"discrepancies repaired": "repaired"}  # by `region repaired`


def _objects(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema, or those of which it is one, that are objects."""
    for one in schema.get("anyOf", [schema]):
        if one.get("type") == "object":
            yield one


def _has(schema: Mapping[str, Any], path: str) -> bool:
    first, _, rest = path.partition(".")
    for one in _objects(schema):
        found = one.get("properties", {}).get(first)
        if found is not None and (not rest or _has(found, rest)):
            return True
        if one.get("additionalProperties") is True:
            return True
    return False


def _lists(name: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each list of objects in the answer with its name: that of its command, or its key."""
    if schema.get("type") == "array":
        yield name, schema["items"]
        yield from _lists("", schema["items"])
    for one in _objects(schema):
        for key, value in one.get("properties", {}).items():
            yield from _lists(key, value)


def _answers() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schema of every answer with its command."""
    for resource in SERVED:
        for endpoint in resource.endpoints:
            command = f"{command_of(resource.handler)} {endpoint.name.replace('_', '-')}"
            for result in (endpoint.result, *(other for _, other in endpoint.other_answers)):
                if result.schema is not None:
                    yield _SHOWN_AS.get(command, kind_of(command)), result.schema


def _unknown(known: tuple[Column, ...], schemas: list[Mapping[str, Any]]) -> list[str]:
    paths = [path for one in known for path in (one.key, one.of, one.same_as, one.unless) if path]
    return [path for path in paths if not any(_has(schema, path) for schema in schemas)]


def test_every_column_of_a_list_is_a_key_of_its_answer() -> None:
    items: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for kind, answer in _answers():
        for name, item in _lists(kind, answer):
            items[name].append(item)
    unknown = {kind: _unknown(known, items[kind]) for kind, known in LISTS.items() if kind not in _WITHOUT_SCHEMA}
    assert {kind: paths for kind, paths in unknown.items() if paths} == {}


def test_every_line_of_an_object_is_a_key_of_its_answer() -> None:
    shapes, placement = {**OBJECTS, "placement": PLACEMENT, "usage": USAGE}, [PLACED_JSON.schema]
    # What an operation explains is shown among its own lines.
    answers: dict[str, list[Mapping[str, Any]]] = defaultdict(
        list, placement=placement, operations=[*placement], usage=[USAGE_JSON.schema]
    )
    for kind, answer in _answers():
        answers[kind].append(answer)
    unknown = {kind: _unknown(shape.lines, answers[kind]) for kind, shape in shapes.items()}
    assert {kind: paths for kind, paths in unknown.items() if paths} == {}


def test_a_list_without_columns_shows_its_first_keys() -> None:
    default = ResourcePool(id=0, name="default", description="")
    gpu = ResourcePool(id=1, name="gpu", description="x" * 90, strategy="pack")
    pools = [POOL_WITH_STRATEGY_JSON.encode(one) for one in (default, gpu)]
    assert rendered(pools[:1], "resource-pools read").lines == ["id  name", " 0  default"]
    assert rendered(pools, "resource-pools read", Paper(width=80)).lines == [
        "id  name     strategy",
        " 0  default",
        " 1  gpu      pack",
        f"    {'x' * 90}",
    ]
    assert "resource uri" in rendered(pools, "resource-pools read", view=View(all=True)).lines[0]
    zone = ZONE_JSON.encode(Zone(id=1, name="default", description="All hosts"))
    assert rendered([{**zone, "contact": "ann"}], "zones read").lines == [
        "id  name     contact  description",
        " 1  default  ann      All hosts",
    ]


def test_a_text_names_columns_by_key_rank_and_heading() -> None:
    size, host, other = columns("size:0 vm_host.name=the_host:2 other")
    assert (size.heading, size.rank) == ("size GB", 0)
    assert (host.key, host.heading, host.rank) == ("vm_host.name", "the host", 2)
    assert (other.heading, other.rank) == ("other", 1)


def test_columns_are_as_wide_as_a_terminal_shows_them() -> None:
    names = {"abcd": 4, "東京": 4, "ที่": 1, "e\u0301": 1, "\u2764\ufe0f": 2}
    lines = rendered([{"name": name, "id": 1} for name in names], "things read").lines[1:]
    assert lines == [f"{name}{' ' * (4 - width)}   1" for name, width in names.items()]
