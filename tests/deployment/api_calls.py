"""Requests to a region's API, as tests write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from common.errors import InnkeeperError
from innkeeper.answer import Answer
from innkeeper.api_description import Method
from innkeeper.http import Api
from innkeeper.request_body import Body
from tests.support.waiting import eventually

ASYNC = {"Prefer": "respond-async"}


class ApiCalls(ABC):
    """Each method raises what the client raises for an error response; `details["status"]` has the HTTP status."""

    @property
    @abstractmethod
    def api(self) -> Api:
        """Where the requests go, and whose key they carry."""

    async def send(
        self,
        method: Method,
        path: str,
        *,
        op: str | None = None,
        query: Iterable[tuple[str, str]] = (),
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Answer:
        """`fields` become a form; a list is one field for each of its values."""
        more = {} if deadline_s is None else {"deadline_s": deadline_s}
        return await self.api.send(
            method, path, query=[*([("op", op)] if op else []), *query], body=form(fields) if fields else None,
            headers=dict(headers or {}), **more,
        )  # fmt: skip

    async def post(
        self, path: str, *, op: str | None = None, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> Any:
        """The JSON of the response; None for an empty one."""
        answer = await self.send("POST", path, op=op, fields=fields, headers=headers)
        return answer.json() if answer.body else None

    async def put(self, path: str, **fields: Any) -> Any:
        return (await self.send("PUT", path, fields=fields)).json()

    async def get(self, path: str, *, op: str | None = None) -> Any:
        return (await self.api.get(path, op=op)).json()

    async def delete(self, path: str, **query: str) -> Answer:
        return await self.send("DELETE", path, query=query.items())

    async def wait_for_state(self, operation_id: int, *states: str) -> Any:
        """Returns the operation once it is in one of the states."""

        async def matching() -> Any:
            operation = await self.get(f"operations/{operation_id}/")
            return operation if operation["state"] in states else None

        return await eventually(matching)

    async def cancel(self, operation_id: int) -> None:
        """Returns once the operation is being undone: a call that the test holds could still succeed before."""
        await self.post(f"operations/{operation_id}/", op="cancel")
        await self.wait_for_state(operation_id, "undoing", "cancelled", "failed")

    async def poll(self, path: str) -> Any:
        """As `get`; None while the region does not answer or answers with an error."""
        try:
            return await self.get(path)
        except InnkeeperError:
            return None


def form(fields: Mapping[str, Any]) -> Body:
    values = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    return Body(fields=[(name, str(one)) for name, several in values.items() for one in several])
