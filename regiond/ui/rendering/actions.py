"""Changes from pages, made through the endpoints of the API: the same checks, limits and audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from regiond.accounts.model import Session
from regiond.api.declaration.endpoint import PlanCheck, Resource
from regiond.api.pipeline.dispatch import Actor, Api
from regiond.api.pipeline.request import ApiRequest, Body
from regiond.api.replies import Reply
from regiond.ui.web_request import WebRequest


@frozen
class Actions:
    """Runs endpoints for the callers of sessions."""

    api: Api

    async def run(
        self,
        session: Session,
        request: WebRequest,
        resource: Resource,
        method: str,
        op: str | None,
        *,
        path: Mapping[str, str],
        fields: Mapping[str, Any],
        idempotency_key: str | None = None,
        content: bytes | None = None,
        check_plan: PlanCheck | None = None,
    ) -> Any:
        """Returns the JSON of the answer, or its text if it has none. Raises the errors of the endpoint.

        With `content`, that is the body, and the fields are in the query.
        """
        reply = await self.reply(
            session, request, resource, method, op,
            path=path, fields=fields, idempotency_key=idempotency_key, content=content, check_plan=check_plan,
        )  # fmt: skip
        text = reply.body.decode()
        return json.loads(text) if reply.content_type.startswith("application/json") and text else text

    async def reply(
        self,
        session: Session,
        request: WebRequest,
        resource: Resource,
        method: str,
        op: str | None,
        *,
        path: Mapping[str, str],
        fields: Mapping[str, Any],
        idempotency_key: str | None = None,
        content: bytes | None = None,
        check_plan: PlanCheck | None = None,
    ) -> Reply:
        """As `run`, but returns the answer itself."""
        values = {name: _values(value) for name, value in fields.items() if value is not None}
        has_body = method in {"POST", "PUT"} and content is None
        api_request = ApiRequest(
            method=method,
            query="" if has_body else _query(op, values),
            prefer="respond-async",
            idempotency_key=idempotency_key,
            origin=request.origin,
            client_address=request.address,
            check_plan=check_plan,
        )
        body = Body(values=values, op=op) if has_body else Body(content=content)
        by = Actor(caller=session.caller, credential=f"session {session.id}")
        return await self.api.act(by, resource, path, api_request, body, request.request_id)


def _values(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return tuple(str(one) for one in value) if isinstance(value, Sequence) else (str(value),)


def _query(op: str | None, values: Mapping[str, Sequence[str]]) -> str:
    pairs = [(name, one) for name, all_of_it in values.items() for one in all_of_it]
    return urlencode([*([("op", op)] if op else []), *pairs])
