"""Pages of the HTTP API's requests and objects, made from its OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from attrs import frozen

from development.site.markdown import anchor, escaped

FOLDER = "reference/generated/api"
_METHODS = ("get", "post", "put", "delete")
_OBJECTS = "objects.md"
_FORM = "application/x-www-form-urlencoded"
_CALLERS = {
    "anyone": "anyone, without an API key",
    "user": "every user",
    "operator": "operators of the resource pool",
    "owner": "the owner of the machine, as an operator of its resource pool",
    "admin": "administrators",
}


@frozen(kw_only=True)
class Request:
    """One request of the description."""

    method: str
    path: str
    operation: Mapping[str, Any]
    path_parameters: tuple[Mapping[str, Any], ...]

    @property
    def tag(self) -> str:
        return str(self.operation["tags"][0])

    @property
    def title(self) -> str:
        return str(self.operation["summary"]).replace("`", "")

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


def requests_of(document: Mapping[str, Any]) -> list[Request]:
    """Returns the requests, those of one resource together."""
    found = [
        Request(
            method=method.upper(),
            path=path,
            operation=item[method],
            path_parameters=tuple(item.get("parameters", ())),
        )
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    return sorted(found, key=lambda one: one.tag)


def pages(document: Mapping[str, Any]) -> dict[str, str]:
    """Returns the overview, a page for each resource and one of all objects, by their path on the site."""
    found = requests_of(document)
    by_tag = {tag: list(group) for tag, group in groupby(found, key=lambda one: one.tag)}
    written = {f"{FOLDER}/index.md": _overview(document, by_tag), f"{FOLDER}/{_OBJECTS}": _objects(document)}
    for tag, group in by_tag.items():
        written[f"{FOLDER}/{_page(tag)}"] = "\n".join(
            [f"# {tag}", "", *(line for one in group for line in _request(one))]
        )
    return written


def _page(tag: str) -> str:
    return f"{tag.lower()}-requests.md"  # not index.md or objects.md


def _overview(document: Mapping[str, Any], by_tag: Mapping[str, Iterable[Request]]) -> str:
    lines = [
        "# Requests of the HTTP API",
        "",
        "All requests, from the OpenAPI description of this version. A running region serves the same description at "
        "`/MAAS/api/2.0/openapi.json`. [HTTP API: additions to MAAS](../../api.md) explains signatures, waiting, "
        f"idempotency and errors. The JSON objects of the answers are in [Objects]({_OBJECTS}).",
        "",
        "An operation is also served as MAAS has it: `…/op-NAME` is the same as `…/?op=NAME`.",
    ]
    for tag, group in by_tag.items():
        rows = (f"| `{one.line}` | [{escaped(one.title)}]({_page(tag)}#{anchor(one.title)}) |" for one in group)
        lines += ["", f"## {tag}", "", "| Request | Effect |", "|---|---|", *rows]
    scheme = document["components"]["securitySchemes"]["oauth"]["description"]
    return "\n".join([*lines, "", "## Authorization", "", escaped(scheme), ""])


def _request(one: Request) -> Iterator[str]:
    operation = one.operation
    yield from (f"## {escaped(one.title)}", "", "```text", one.line, "```", "")
    if operation["description"]:
        yield from (escaped(operation["description"]), "")
    yield from (f"**For** {_CALLERS[operation['x-permission']]}.", "")
    parameters = [*one.path_parameters, *operation.get("parameters", ())]
    yield from _table("Parameters", ("Parameter", "Type", "Meaning"), (_parameter(each) for each in parameters))
    yield from _body(operation.get("requestBody"))
    answers = (_answer(status, answer) for status, answer in sorted(operation["responses"].items()))
    yield from _table("Answers", ("Status", "Content", "Meaning"), answers)


def _body(body: Mapping[str, Any] | None) -> Iterator[str]:
    if body is None:
        return
    content = body["content"].get(_FORM)
    yield from (f"**Body**: {', '.join(f'`{each}`' for each in body['content'])}.", "")
    if content is None:
        return
    yield from _table("Fields", ("Field", "Type", "Meaning"), _fields(content["schema"]))
    if "example" in content:
        yield from (
            "For example:",
            "",
            "```json",
            json.dumps(content["example"], indent=2, ensure_ascii=False),
            "```",
            "",
        )


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        meaning = escaped(each.get("description", ""))
        yield f"`{name}`", _type(each), f"{meaning} **Required.**" if name in required else meaning
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        yield "any other", _type(others), escaped(others.get("description", ""))


def _parameter(each: Mapping[str, Any]) -> tuple[str, str, str]:
    meaning = escaped(each.get("description", ""))
    needed = each.get("required") and each["in"] != "path"
    return f"`{each['name']}` ({each['in']})", _type(each["schema"]), f"{meaning} **Required.**" if needed else meaning


def _answer(status: str, answer: Mapping[str, Any]) -> tuple[str, str, str]:
    content = answer.get("content", {})
    types = (_type(one["schema"]) if kind == "application/json" else f"`{kind}`" for kind, one in content.items())
    headers = ", ".join(f"`{name}`" for name in answer.get("headers", {}))
    meaning = escaped(answer["description"])
    return status, "<br>".join(types), f"{meaning} Headers: {headers}." if headers else meaning


def _objects(document: Mapping[str, Any]) -> str:
    lines = [
        "# Objects",
        "",
        "The JSON objects of the answers. Every key that is not marked optional is always there.",
        "",
    ]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [f"## {name}", ""]
        required = schema.get("required", ())
        keys = (
            (
                f"`{key}`" if key in required else f"`{key}` (optional)",
                _type(each),
                escaped(each.get("description", "")),
            )
            for key, each in schema.get("properties", {}).items()
        )
        lines += [*_table("", ("Key", "Type", "Meaning"), keys)] if "properties" in schema else [_type(schema), ""]
    return "\n".join(lines)


def _type(schema: Mapping[str, Any]) -> str:
    """Returns the type in words, with a link if it is an object of the description, and its limits."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}]({_OBJECTS}#{anchor(name)})"
    if several := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(_type(each) for each in several))
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(f"`{json.dumps(each, ensure_ascii=False)}`" for each in values)
    return _named_type(schema)


def _named_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object: text to {_type(schema['additionalProperties'])}"
    return f"{kind}{_limits(schema)}"


def _limits(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high == 2**31 - 1:  # the greatest integer of the database
        high = None
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", at least {low}" if low is not None else f", at most {high}" if high is not None else ""


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    found = list(rows)
    if found and not any(row[-1] for row in found):  # no meanings
        columns, found = columns[:-1], [row[:-1] for row in found]
    lines = [f"| {' | '.join(row)} |" for row in found]
    if lines:
        yield from ([f"**{title}**", ""] if title else [])
        yield from (f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines, "")
