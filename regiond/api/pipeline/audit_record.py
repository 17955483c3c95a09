"""The record of one request for the audit trail, and the allow list of values that it may have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from common.errors import InnkeeperError
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.field_types import Boolean, Choice, FieldError, Float, Integer, IntegerList, Timestamp
from regiond.api.declaration.fields import Field, Submitted, Values
from regiond.api.pipeline.request import ApiRequest
from regiond.api.replies import Reply
from regiond.audit.model import (
    NOT_RECORDED,
    TOKEN_KEY,
    AuditAnswer,
    AuditRequest,
    AuditResult,
    RecordedFields,
    clipped,
    recorded_text,
)
from regiond.audit.service import Audit
from regiond.requests.caller import Caller

_PATH_VALUE = re.compile(r"[\w.:@+-]{1,64}", re.ASCII)  # an id or a name; of what nobody has found, nothing else
_FORBIDDEN = 403
_REPEAT = "(repeated request)"  # no field of the API: its name has blanks
_NAMES = ("hostname", "name", "username")  # of an object, the first that it has
# A value of these types that was accepted can be no secret.
_FIXED_FORMS = (Boolean, Choice, Float, Integer, IntegerList, Timestamp)


@define
class AuditRecord:
    """Requests that change something or show a secret are recorded before they run, and their answers after.

    A request that was rejected before is recorded with its answer, and so is one with wrong credentials; a dry run is
    not, nor one that was rejected, unless its sender is not allowed the change itself. Of fields that are not declared
    as recorded, and of all fields of a rejected request, only the names are.
    """

    audit: Audit
    resource: Resource
    path: Mapping[str, str]
    request: ApiRequest
    request_id: str
    endpoint: Endpoint | None = None
    caller: Caller | None = None
    token_key: str | None = None  # of the API key that signed the request, which may be wrong
    session: str = ""  # by which a caller acts on a web page
    login_failed: bool = False
    target: Any = None
    submitted: Submitted = field(factory=dict)
    _values: Values | None = None  # once all were accepted
    _entry_id: int | None = None
    _is_dry_run: bool = False
    _is_repeat: bool = False
    _username: str | None = None  # of a login that succeeded
    _account: str | None = None  # as whom somebody tried to log in

    async def begin(self, values: Values, *, dry_run: bool) -> None:
        """Call it right before the request runs. Raises DatabaseUnavailable: then the request must not run.

        `values` are the accepted ones, by field.
        """
        self._values, self._is_dry_run = values, dry_run
        if not dry_run:
            await self._begin()

    async def begin_repeat(self) -> None:
        """As `begin`, of a request that by its idempotency key repeats one that ran, and gets its answer."""
        self._is_repeat = True
        await self._begin()

    async def _begin(self) -> None:
        if self.endpoint is not None and self.endpoint.audited and self.caller is not None:
            self._entry_id = await self.audit.begin(self._request())

    async def end(self, reply: Reply, error: InnkeeperError | None) -> None:
        """Records the answer; `error` is what it is made from.

        Raises DatabaseUnavailable for a login that cannot be recorded: then its key must not be shown.
        """
        self._account = None if error is None else error.details.get("account")
        result = AuditResult.of_status(reply.status)
        answer = AuditAnswer(
            result=result,
            status=reply.status,
            error=None if error is None else error.code,
            operation_id=reply.operation_id,
            fields={} if result is AuditResult.REJECTED else self._accepted_texts(),
        )
        if self._entry_id is not None:
            await self.audit.end(self._entry_id, answer)
        elif self._has_logged_in(answer):
            await self.audit.end(await self.audit.begin(self._request()), answer)
        elif self._is_dry_run or self._is_rejected_dry_run(reply.status):
            return
        elif self.login_failed or (self.endpoint is not None and self.endpoint.audited):
            await self.audit.record(self._request(), answer)

    def _is_rejected_dry_run(self, status: int) -> bool:
        wanted = self.submitted.get("dry_run", ())
        if self.endpoint is None or not self.endpoint.has_dry_run or not wanted or status == _FORBIDDEN:
            return False
        try:
            return Boolean().parse(wanted)
        except FieldError:
            return False

    def _has_logged_in(self, answer: AuditAnswer) -> bool:
        is_open = self.resource.open_to_anyone and self.endpoint is not None and self.endpoint.audited
        if is_open and answer.result is AuditResult.OK:
            self._username = clipped(self.submitted.get("username", ("",))[-1])
            return True
        return False

    def _request(self) -> AuditRequest:
        return AuditRequest(
            action=action_of(self.resource, self.request.method if self.endpoint is None else self.endpoint.name),
            username=self._username if self.caller is None else self.caller.username,
            credential=clipped(self._credential()),
            address=self.request.client_address,
            request_id=self.request_id,
            object=clipped(self._object()),
            object_name=clipped(_name(self.target)),
            fields=self._fields(),
        )

    def _credential(self) -> str:
        if self.token_key is None:
            return self.session
        return f"API key {self.token_key if TOKEN_KEY.fullmatch(self.token_key) else NOT_RECORDED}"

    def _object(self) -> str:
        text = self.resource.path
        for name, value in self.path.items():
            is_shown = self.target is not None or _PATH_VALUE.fullmatch(value)
            text = text.replace(f"{{{name}}}", value if is_shown else NOT_RECORDED)
        return text.rstrip("/")

    def _fields(self) -> dict[str, str]:
        """The fields that were given, with the values of a fixed form that were accepted."""
        declared = {} if self.endpoint is None else {one.name: one for one in self.endpoint.fields}
        accepted = {} if self._values is None else self._values
        takes_others = self.endpoint is not None and self.endpoint.other_keys is not None and self._values is not None
        found = {_REPEAT: "yes"} if self._is_repeat else {}
        for name in self.submitted:
            if name in declared:
                is_shown = name in accepted and has_fixed_form(declared[name])
                found[name] = recorded_text(accepted[name]) if is_shown else NOT_RECORDED
            elif takes_others:
                found[recorded_text(name)] = NOT_RECORDED
        if self._account is not None and "username" in found:
            found["username"] = recorded_text(self._account)
        return found

    def _accepted_texts(self) -> dict[str, str]:
        """The other values that may be recorded."""
        if self._values is None or self.endpoint is None:
            return {}
        return {
            one.name: recorded_text(self._values[one.name])
            for one in self.endpoint.fields
            if one.name in self.submitted and is_recorded(one) and not has_fixed_form(one)
        }


def _name(target: Any) -> str:
    return next((str(getattr(target, name)) for name in _NAMES if getattr(target, name, None)), "")


def has_fixed_form(one: Field) -> bool:
    return isinstance(one.type, _FIXED_FORMS)


def is_recorded(one: Field) -> bool:
    """Whether the trail may have an accepted value of the field."""
    return one.recorded or has_fixed_form(one)


def action_of(resource: Resource, name: str) -> str:
    """Returns what the trail calls a request, such as `Machine.power_on`."""
    return f"{resource.handler.removesuffix('Handler')}.{name}"


def recorded_by_action(resources: Iterable[Resource]) -> Mapping[str, RecordedFields]:
    """Returns the fields whose values may be recorded, of each action that is recorded."""
    return {
        action_of(resource, endpoint.name): _recorded(endpoint)
        for resource in resources
        for endpoint in resource.endpoints
        if endpoint.audited
    }


def _recorded(endpoint: Endpoint) -> RecordedFields:
    return RecordedFields(
        texts=frozenset(one.name for one in endpoint.fields if one.recorded),
        fixed=frozenset(one.name for one in endpoint.fields if has_fixed_form(one)),
    )
