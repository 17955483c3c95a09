"""The actions of an administrator on the trust between a host and Innkeeper: one form each."""

from __future__ import annotations

from typing import Any

from common.errors import InvalidRequest
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.ui.page import Visit


async def act_on_trust(visit: Visit, host_id: int) -> Any:
    """Runs the `action` of the form and returns the host, or the operation of a rotation. Raises its errors."""
    path, given = {"id": str(host_id)}, visit.request.given
    match given("action"):
        case "accept":
            return await visit.act(HOST, "POST", "trust", path=path, fields={"fingerprint": given("fingerprint")})
        case "confirm":
            fields = {given("field"): given("value")}
            return await visit.act(HOST, "POST", "confirm_server", path=path, fields=fields)
        case "rotate":
            token = {"password": given("password").strip() or None}
            return await visit.act(HOST, "POST", "rotate", path=path, fields=token)
        case "token":
            return await visit.act(HOST, "PUT", path=path, fields={"password": _required(visit, "password")})
        case "certificate":
            fields = {name: _required(visit, name) for name in ("certificate", "key")}
            return await visit.act(HOST, "PUT", path=path, fields=fields)
        case action:
            raise InvalidRequest(f"There is no action {action!r}.")


def _required(visit: Visit, name: str) -> str:
    value = visit.request.given(name).strip()
    if not value:
        raise InvalidRequest.of({name: ["This field is required."]})
    return value
