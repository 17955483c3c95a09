"""Parses the region's API description into commands: resources, actions and fields. No I/O.

`VmHostHandler` becomes the command `vm-host`, its action `add_tag` becomes `add-tag`. An action's text documents its
fields as `:param name: text` (or `:param type name: text`) lines and is the command's help.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, cast, get_args

from attrs import field, frozen

from common.errors import InvalidRequest

_WORD = re.compile(r"[A-Z]+[a-z0-9]*|[a-z0-9]+")
_PARAM = re.compile(r"^[ \t]*:param\s+(?:[^:\s]+\s+)*?(?P<name>[\w@-]+)\s*:", re.MULTILINE)
_ANY_PARAM = re.compile(r"^[ \t]*:param\s+<[^<>\n]+>\s*:", re.MULTILINE)
API_PATH = "/MAAS/api/2.0/"
Method = Literal["GET", "POST", "PUT", "DELETE"]


@frozen(kw_only=True)
class Action:
    """An action of a resource. `op` is None for the REST methods; `fields` are the documented ones.

    `any_field`: fields of any name are documented too, as `:param <key>:`. `stream`: the answer is server-sent events.
    `takes_key`: changes something, once for an idempotency key.
    `formats`: the forms of fields that are not plain text, by field; `choices`: the only values of a field. A region
    that does not say what is `destructive` and has a `dry_run` deletes with DELETE.
    """

    name: str
    command: str
    method: Method
    op: str | None
    doc: str
    fields: tuple[str, ...]
    any_field: bool = False
    destructive: bool = False
    dry_run: bool = False
    takes_key: bool = False
    stream: bool = False
    formats: Mapping[str, str] = field(factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @property
    def summary(self) -> str:
        return first_line(self.doc)


@frozen(kw_only=True)
class Resource:
    """`path` is relative to the API's base, with `{param}` for each of `params`, in the order of the command line.

    `always_empty`: a list of what only MAAS has. Its command works, and is not offered.
    """

    name: str
    command: str
    path: str
    params: tuple[str, ...]
    doc: str
    actions: Mapping[str, Action]
    always_empty: bool = False

    @property
    def summary(self) -> str:
        return first_line(self.doc)


@frozen(kw_only=True)
class Description:
    hash: str
    resources: Mapping[str, Resource]  # by command

    @property
    def offered(self) -> tuple[Resource, ...]:
        """The resources that can have objects."""
        return tuple(one for one in self.resources.values() if not one.always_empty)


def read_description(plain: Any) -> Description:
    """Parses the response of `describe/`. Raises InvalidRequest if it is not a description.

    Uses the authenticated handler of a resource, or the anonymous one if that is the only one.
    """
    try:
        found = [_resource(str(each["name"]), each["auth"] or each["anon"]) for each in plain["resources"]]
        return Description(hash=str(plain["hash"]), resources={resource.command: resource for resource in found})
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"The response is not the description of a MAAS 2.0 API ({error!r}).") from error


def command_of(handler_name: str) -> str:
    """`VmHostsHandler` → `vm-hosts`, `ResourcePoolHandler` → `resource-pool`, `IPRangesHandler` → `ipranges`."""
    words = [word.lower() for word in _WORD.findall(handler_name)]
    return "-".join(word for word in words if word != "handler")


def documented_fields(doc: str) -> tuple[str, ...]:
    """The names in the `:param` lines, in order, without repeats."""
    return tuple(dict.fromkeys(match["name"] for match in _PARAM.finditer(doc)))


def first_line(doc: str) -> str:
    return next((line.strip() for line in doc.splitlines() if line.strip()), "")


def similar(word: str, known: Iterable[str]) -> list[str]:
    """At most three known words that resemble `word`, the most similar first."""
    candidates = list(known)
    return get_close_matches(word.replace("_", "-"), candidates, n=3, cutoff=0.7)


def _resource(name: str, handler: Mapping[str, Any]) -> Resource:
    actions = [_action(each) for each in handler["actions"]]
    return Resource(
        name=name,
        command=command_of(name),
        path=_relative(str(handler["path"])),
        params=tuple(str(param) for param in handler["params"]),
        doc=handler.get("doc") or "",
        actions={action.command: action for action in actions},
        always_empty=bool(handler.get("always_empty", False)),
    )


def _action(plain: Mapping[str, Any]) -> Action:
    doc = plain.get("doc") or ""
    if plain["method"] not in get_args(Method):
        raise TypeError(f"method {plain['method']!r}")
    fields = documented_fields(doc)
    return Action(
        name=str(plain["name"]),
        command=str(plain["name"]).replace("_", "-"),
        method=cast("Method", plain["method"]),
        op=plain["op"] or None,
        doc=doc,
        fields=fields,
        any_field=_ANY_PARAM.search(doc) is not None,
        destructive=bool(plain.get("destructive", plain["method"] == "DELETE")),
        dry_run=bool(plain.get("dry_run", "dry_run" in fields)),
        takes_key=bool(plain.get("takes_key", False)),
        stream=bool(plain.get("stream", False)),
        formats={str(name): str(format_) for name, format_ in (plain.get("formats") or {}).items()},
        choices={str(name): tuple(map(str, values)) for name, values in (plain.get("choices") or {}).items()},
    )


def _relative(path: str) -> str:
    # Paths in the description start at the region's root; the profile's URL may add the prefix of a proxy.
    return path.partition(API_PATH)[2] if API_PATH in path else path.lstrip("/")
