"""What the audit trail says of one request, collected while the request is dispatched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from regiond.api.account_services import Audit
from regiond.api.endpoint import Endpoint, Resource
from regiond.api.field_types import Secret
from regiond.api.fields import Submitted
from regiond.api.replies import Reply
from regiond.api.request import ApiRequest
from regiond.audit.model import AuditAnswer, AuditRequest, AuditResult, clipped
from regiond.caller import Caller

_PASSWORD = re.compile(r"(//[^\s/@:]*+):[^\s/@]*+@")  # in an address
MASKED = "(not recorded)"
_REPEAT = "(repeated request)"  # no field of the API: its name has blanks
_NAMES = ("hostname", "name", "username")  # of an object, the first that it has


@define
class AuditRecord:
    """Requests that change something or show a secret are recorded before they run, and their answers after.

    A request that was rejected before is recorded with its answer, and so is one with wrong credentials; a dry run is
    not. Values of secret fields, and of keys that no field declares, are not recorded.
    """

    audit: Audit
    resource: Resource
    path: Mapping[str, str]
    request: ApiRequest
    request_id: str
    endpoint: Endpoint | None = None
    caller: Caller | None = None
    credential: str = ""
    login_failed: bool = False
    target: Any = None
    submitted: Submitted = field(factory=dict)
    _entry_id: int | None = None
    _is_dry_run: bool = False
    _is_repeat: bool = False
    _username: str | None = None  # of a login that succeeded

    async def begin(self, *, dry_run: bool, is_repeat: bool = False) -> None:
        """Call it right before the request runs. Raises DatabaseUnavailable: then the request must not run.

        `is_repeat`: by its idempotency key it repeats one that ran, and gets its answer.
        """
        self._is_dry_run, self._is_repeat = dry_run, is_repeat
        if self.endpoint is not None and self.endpoint.audited and self.caller is not None and not dry_run:
            self._entry_id = await self.audit.begin(self._request())

    async def end(self, reply: Reply, error: str | None) -> None:
        """Records the answer; `error` is the code of the error that it is made from.

        Raises DatabaseUnavailable for a login that cannot be recorded: then its key must not be shown.
        """
        answer = AuditAnswer(
            result=AuditResult.of_status(reply.status),
            status=reply.status,
            error=error,
            operation_id=reply.operation_id,
        )
        if self._entry_id is not None:
            await self.audit.end(self._entry_id, answer)
        elif self._has_logged_in(answer):
            await self.audit.end(await self.audit.begin(self._request()), answer)
        elif self._is_dry_run:
            return
        elif self.login_failed or (self.endpoint is not None and self.endpoint.audited):
            await self.audit.record(self._request(), answer)

    def _has_logged_in(self, answer: AuditAnswer) -> bool:
        is_open = self.resource.open_to_anyone and self.endpoint is not None and self.endpoint.audited
        if is_open and answer.result is AuditResult.OK:
            self._username = clipped(self.submitted.get("username", ("",))[-1])
            return True
        return False

    def _request(self) -> AuditRequest:
        return AuditRequest(
            action=self._action(),
            username=self._username if self.caller is None else self.caller.username,
            credential=clipped(self.credential),
            address=self.request.client_address,
            request_id=self.request_id,
            object=clipped(self._object()),
            object_name=clipped(_name(self.target)),
            fields=self._fields(),
        )

    def _action(self) -> str:
        name = self.request.method if self.endpoint is None else self.endpoint.name
        return f"{self.resource.handler.removesuffix('Handler')}.{name}"

    def _object(self) -> str:
        text = self.resource.path
        for name, value in self.path.items():
            text = text.replace(f"{{{name}}}", value)
        return text.rstrip("/")

    def _fields(self) -> dict[str, str]:
        declared = {} if self.endpoint is None else {one.name: one for one in self.endpoint.fields}
        takes_others = self.endpoint is not None and self.endpoint.other_keys is not None
        found = {_REPEAT: "yes"} if self._is_repeat else {}
        for name, values in self.submitted.items():
            if name in declared:
                is_secret = isinstance(declared[name].type, Secret)
                text = ", ".join(str(value) for value in values)
                found[name] = MASKED if is_secret else clipped(_PASSWORD.sub(r"\1:***@", text))
            elif takes_others:
                found[clipped(name)] = MASKED
        return found


def _name(target: Any) -> str:
    return next((str(getattr(target, name)) for name in _NAMES if getattr(target, name, None)), "")
