"""`--filter key=value`: selects the objects of a command from the region's list of them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from innkeeper.api_description import Description, Resource
from innkeeper.arguments import ApiCall, Usage, call_of, check_known, find_resource, parse_call, split_fields

_NAMES = ("hostname", "name", "cidr")
_ANY = "x"  # stands for the object until it is known


@frozen(kw_only=True)
class Target:
    """One call of a command for several objects. `name` is the object's, empty if it is not known."""

    call: ApiCall
    name: str = ""

    @property
    def described(self) -> str:
        return f"{self.name} ({self.call.target})" if self.name else self.call.target


@frozen(kw_only=True)
class Selection:
    """`listing` lists the objects; `template` is the call for one of them."""

    listing: ApiCall
    template: ApiCall

    def targets(self, listed: Any) -> tuple[Target, ...]:
        """The call for each object of the list. Raises InnkeeperError for a list of something else."""
        resource = self.template.resource
        key = resource.params[-1]
        if not isinstance(listed, list) or not all(isinstance(one, dict) and key in one for one in listed):
            raise InnkeeperError(f"The region lists no objects with '{key}' at {self.listing.path}.")
        return tuple(Target(call=self._call(str(one[key])), name=_name_of(one, key)) for one in listed)

    def _call(self, target: str) -> ApiCall:
        template = self.template
        return call_of(template.resource, template.action, (*template.names[:-1], target), template.fields)


def parse_selection(description: Description, words: Sequence[str], filters: Sequence[str]) -> Selection:
    """Parses `machines delete` with filters; `machine delete` means the same. Raises Usage."""
    listed, resource = _list_and_object(description, words[0] if words else "")
    names, _ = split_fields(words[1:])
    if len(names) > len(resource.params):
        raise Usage(f"Give either --filter or {resource.params[-1].upper()}, not both.")
    template = parse_call(description, [resource.command, *words[1:2], *names[1:], _ANY, *_without(words[2:], names)])
    unnamed, fields = split_fields(filters)
    if unnamed:
        raise Usage(f"'{unnamed[0]}' is not a filter. Filters are --filter key=value.")
    for one in fields:
        if not one.value.strip():  # the region would list everything
            raise Usage(f"The filter {one.name} has no value.")
    listing = listed.actions["read"]
    check_known(fields, listing.fields, of=f"{listed.command} read", usage="usage: --filter key=value")
    return Selection(listing=call_of(listed, listing, template.names[:-1], fields), template=template)


def _list_and_object(description: Description, word: str) -> tuple[Resource, Resource]:
    """The list and the object that belong together, from the command of either."""
    given = find_resource(description, word)
    for resource in description.resources.values():
        listed = list_of(description, resource)
        if listed is not None and word in (resource.command, listed.command):
            return listed, resource
    raise Usage(f"--filter does not apply to {given.command}: the region has no list of it.")


def list_of(description: Description, resource: Resource) -> Resource | None:
    """Returns the resource that lists the objects of `resource`; None if the region has no list of them."""
    if not resource.params or not resource.path.rstrip("/").endswith(f"{{{resource.params[-1]}}}"):
        return None
    path = resource.path.rstrip("/").rpartition("/")[0] + "/"
    for other in description.resources.values():
        same = other.path == path or other.command == f"{resource.command}s"
        if same and other.params == resource.params[:-1] and "read" in other.actions:
            return other
    return None


def _without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    return [word for word in words if word not in names]


def _name_of(listed: Mapping[str, Any], key: str) -> str:
    return next((str(listed[name]) for name in _NAMES if name != key and listed.get(name)), "")
