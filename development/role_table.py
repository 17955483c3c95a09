"""Prints which role may call which endpoint, from the declarations; `--write` updates the page.

python -m development.role_table [--write]
"""

from __future__ import annotations

from collections.abc import Iterator

from development.generated_section import CHECKOUT, GeneratedSection
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.resources.registry import SERVED
from regiond.caller import Permission
from regiond.client_rpc import PERMISSIONS

ROLES = ("stranger", "viewer", "operator", "administrator")
# What stands in the columns of ROLES.
_MAY = {
    Permission.ANYONE: ("yes", "yes", "yes", "yes"),
    Permission.USER: ("", "yes", "yes", "yes"),
    Permission.OPERATOR: ("", "", "yes", "yes"),
    Permission.OWNER: ("", "", "own", "yes"),
    Permission.ADMIN: ("", "", "", "yes"),
}


def tables() -> str:
    """Returns a table of the endpoints of the API and one of the commands of RPC clients."""
    endpoints = (line for resource in SERVED for line in _lines(resource))
    commands = (_row((f"`{name}`",), permission) for name, permission in sorted(PERMISSIONS.items()))
    return "\n".join([*_head("Request", "Title"), *endpoints, "", *_head("RPC command"), *commands])


def _head(*columns: str) -> tuple[str, str]:
    names = (*columns, *ROLES)
    return f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"


def _lines(resource: Resource) -> Iterator[str]:
    if resource.described or resource.base != "/MAAS/api/2.0/":
        yield from (_row((_request(resource, one), one.title), one.permission) for one in resource.endpoints)


def _request(resource: Resource, endpoint: Endpoint) -> str:
    op = "" if endpoint.op is None else f"?op={endpoint.op}"
    return f"`{endpoint.method} {resource.path}{op}`"


def _row(columns: tuple[str, ...], permission: Permission) -> str:
    return f"| {' | '.join((*columns, *_MAY[permission]))} |"


SECTION = GeneratedSection(
    page=CHECKOUT / "docs/reference/roles.md",
    title="role table",
    module="development.role_table",
    generate=lambda: f"\n{tables()}\n",
)

if __name__ == "__main__":
    SECTION.run(__doc__)
