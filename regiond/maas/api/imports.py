"""`maas-imports/`: what was read of a MAAS, its plan, and the import."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Mapping
from io import BytesIO

from common.bodies.bounded_json import loads
from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Boolean, File, FileOrText, Secret, Text, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, answer_of, when_done
from regiond.api.declaration.serializer import (
    INT,
    OBJECT,
    STR,
    Serializer,
    array,
    fields_of,
    key,
    nullable,
    serializer,
    uri_by_id,
)
from regiond.api.declaration.served import serve, target
from regiond.api.replies import Reply, json_reply
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.maas.api.parallel_json import PARALLEL_RUN_JSON
from regiond.maas.imports.model import Failure, MaasImport, NewMaasImport, SeenPlan, read_document
from regiond.maas.parallel.model import ParallelRun
from regiond.maas.services import MaasServices
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

_MAX_PLAN_BYTES = 128 * 2**20
_MAX_PLAN_VALUES = 3_000_000
_MAX_ON_EVENT_LOOP = 200  # objects of a plan: about 10 ms
_FAILURE: Serializer[Failure] = serializer("MaasImportFailure", *fields_of(Failure, "kind source_id name reason"))
_PARTS = (
    uri_by_id("maas-imports"),
    *fields_of(MaasImport, "id"),
    key("source", STR, lambda found: found.origin.kind.value),
    key("label", STR, lambda found: found.origin.label),
    key("version", STR, lambda found: found.origin.version),
    key("maas_name", STR, lambda found: found.origin.name),
    key("maas_uuid", STR, lambda found: found.origin.uuid),
    key("counts", OBJECT, lambda found: dict(found.counts)),
    key("user", nullable(STR), lambda found: found.username),
    key("operation", nullable(INT), lambda found: found.operation_id),
    *fields_of(MaasImport, "failed watched read=read_at problem problem_since"),
    *fields_of(MaasImport, "created=created_at"),
)
_LISTED_JSON: Serializer[MaasImport] = serializer("ListedMaasImport", *_PARTS)
MAAS_IMPORT_JSON: Serializer[MaasImport] = serializer(
    "MaasImport", *_PARTS, key("failures", array(_FAILURE), lambda found: found.failures)
)
_IMPORT = Result(doc="The import; `failures` has the first 500 of the `failed`.", type=MAAS_IMPORT_JSON)
_DIFFERENCES = Result(doc="The hosts, and what differs.", type=PARALLEL_RUN_JSON)
CHOICES = Field(
    "choice",
    TextList(),
    "What becomes of an object, as KIND:ID=CHOICE, such as machines:4y3h7n=leave_out or users:3=rename=anna. "
    "Repeatable. The plan says the choices of each.",
    recorded=True,
)


async def find_import(services: Services, path: Mapping[str, str]) -> MaasImport:
    if services.caller is None:
        raise AssertionError("imports from MAAS are for administrators, so that a caller is needed to find one")
    return await services.of(MaasServices).maas_imports.read(services.caller, id_in(path["id"], "import"))


_list = serve(lambda s: s.of(MaasServices).maas_imports.list)
_delete = serve(lambda s: s.of(MaasServices).maas_imports.delete, import_id=target("id"))


async def _create(call: Call) -> MaasImport:
    packed, values = call.files.get("inventory"), call.values
    if values["watch"] and not values["url"]:
        raise InvalidRequest.of({"watch": ["Only a running MAAS can be watched: give url and key."]})
    if packed and not values["url"]:
        return await call.services.of(MaasServices).maas_imports.add_packed(call.caller, packed)
    if not values["url"] or packed:
        raise InvalidRequest.of({"inventory": ["Send either this, as a file of the form, or url and key of a MAAS."]})
    source = NewMaasImport(
        url=values["url"], key=values["key"] or "", ca=values["ca"] or "", fingerprint=values["fingerprint"] or "",
        watch=values["watch"],
    )  # fmt: skip
    return await call.services.of(MaasServices).maas_imports.add_from(call.caller, source)


def choices_of(texts: tuple[str, ...] | None) -> dict[tuple[str, str], str]:
    """Returns the choices by kind and source id. Raises InvalidRequest."""
    found = {}
    for text in texts or ():
        where, separator, choice = text.partition("=")
        kind, colon, source_id = where.partition(":")
        if not separator or not colon or not source_id:
            raise InvalidRequest.of({"choice": [f"{text!r} is not KIND:ID=CHOICE."]})
        found[kind, source_id] = choice
    return found


async def _plan(call: Call) -> Reply:
    plan = await call.services.of(MaasServices).maas_imports.plan(
        call.caller, call.target.id, choices_of(call.values["choice"])
    )
    if len(plan.items) <= _MAX_ON_EVENT_LOOP:
        return json_reply(plan.as_document())
    # A second, of a large MAAS, in which Python's own code gives others their turn.
    return await asyncio.to_thread(lambda: json_reply(plan.as_document()))


async def _apply(call: Call) -> Reply:
    packed = call.files.get("plan")
    imports, choices = call.services.of(MaasServices).maas_imports, choices_of(call.values["choice"])
    if packed:
        seen = await asyncio.to_thread(_seen_plan, packed, choices)
        operation = await imports.start(call.caller, call.target.id, seen, idempotency_key=call.idempotency_key)
    elif call.values["digest"]:
        operation = await imports.start_with_digest(
            call.caller, call.target.id, call.values["digest"], choices, idempotency_key=call.idempotency_key
        )
    else:
        raise InvalidRequest.of({"plan": ["Send the plan that you have seen, or its digest."]})

    async def encode(done: Operation) -> Reply:
        return json_reply(OPERATION_JSON.encode(done))

    return await (when_done(call, operation, encode) if call.respond_async else answer_of(operation, encode))


async def _differences(call: Call) -> ParallelRun:
    return await call.services.of(MaasServices).maas_comparisons.last(call.caller, call.target.id)


async def _compare(call: Call) -> ParallelRun:
    return await call.services.of(MaasServices).maas_comparisons.compare_now(call.caller, call.target.id)


def _seen_plan(packed: bytes, choices: Mapping[tuple[str, str], str]) -> SeenPlan:
    """Returns the plan of a file, compressed or not. Raises InvalidRequest."""
    try:
        if packed[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=BytesIO(packed)) as file:
                packed = file.read(_MAX_PLAN_BYTES)
        document = loads(packed, max_values=_MAX_PLAN_VALUES, in_thread=True)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InvalidRequest.of({"plan": [f"Not a plan of an import from MAAS: {error}."]}) from error
    return read_document(document, choices)


MAAS_IMPORTS = Resource(
    handler="MaasImportsHandler",
    path="maas-imports/",
    doc="What was read of installations of MAAS, to bring it here.",
    endpoints=(
        crud.list_of(
            _LISTED_JSON,
            _list,
            title="List imports from MAAS",
            result="The imports; one by its number has its failures.",
            permission=Permission.ADMIN,
        ),
        crud.create(
            _IMPORT,
            _create,
            title="Begin an import from MAAS",
            expensive=True,
            doc="Keeps what was read of a MAAS, or asks a running one for it, with its secrets sealed. Nothing is "
            "imported: read the plan, then "
            "apply it. The command innkeeper import maas does all of that.",
            permission=Permission.ADMIN,
            fields=(
                Field(
                    "inventory",
                    File(),
                    "What innkeeper import maas has read of a dump or a database: JSON, compressed with gzip.",
                    default="",
                ),
                Field(
                    "url",
                    Text(max_length=2048),
                    "A running MAAS, such as http://maas.example.com:5240/MAAS. It is only read.",
                    recorded=True,
                    default="",
                    example="http://maas.example.com:5240/MAAS",
                ),
                Field("key", Secret(max_length=512), "API key of an administrator of that MAAS.", example="a:b:c"),
                Field("ca", FileOrText(max_length=65536), "The CA of its certificate, as PEM."),
                Field(
                    "fingerprint",
                    Text(max_length=128),
                    "SHA-256 fingerprint of its certificate, instead of a CA.",
                    recorded=True,
                ),
                Field(
                    "watch",
                    Boolean(),
                    "That MAAS stays in charge: its hosts come in maintenance and without machines, it is read again "
                    "every five minutes and compared, and vm-host take-over takes over each host (default false).",
                    default=False,
                ),
            ),
            success=201,
        ),
    ),
)
MAAS_IMPORT = Resource(
    handler="MaasImportHandler",
    path="maas-imports/{id}/",
    doc="One import from MAAS.",
    endpoints=(
        crud.read(
            _IMPORT,
            crud.as_found,
            title="Read an import from MAAS",
            permission=Permission.ADMIN,
            find=find_import,
        ),
        Endpoint(
            method="GET",
            op="plan",
            result=Result(doc="The plan, without secrets.", type=OBJECT),
            run=_plan,
            permission=Permission.ADMIN,
            title="Plan an import from MAAS",
            doc="Compares what was read with what is here now, and says for each object what it becomes, whether it is "
            "new, exists, is in conflict with something here, or is left out, and why.",
            fields=(CHOICES,),
            expensive=True,
            find=find_import,
        ),
        crud.read(
            _DIFFERENCES,
            _differences,
            op="differences",
            permission=Permission.ADMIN,
            title="List what differs from a watched MAAS",
            doc="The last comparison of what it says of the VMs of its hosts with what the hosts report, for hosts of "
            "which it is in charge: VMs that only one side has or that moved inside their cluster, power states, "
            "cores, memory, pinned cores, huge pages and MAC addresses that differ, and machines on which it is at "
            "work, each since when. Of hosts that were taken over: machines on which it is at work, and those that it "
            "has deleted. At most 1000; `more` counts the others. Each host says whether that MAAS still has it.",
            find=find_import,
        ),
        crud.action(
            "compare",
            _DIFFERENCES,
            _compare,
            title="Compare with a watched MAAS now",
            doc="Reads it again, with GET requests only, which happens every five minutes by itself.",
            find=find_import,
            expensive=True,
        ),
        Endpoint(
            method="POST",
            op="apply",
            permission=Permission.ADMIN,
            title="Import from MAAS",
            doc="Carries out exactly the plan that was seen, or refuses: conflicts need a choice, and nothing may have "
            "changed here since, except what exists by now. VMs are adopted while they run: they get our marker and "
            "nothing else. Answers at once; the operation says how far it is. Repeated, it brings what is missing.",
            fields=(
                Field(
                    "plan",
                    File(),
                    "The plan as JSON, with a choice for each conflict; compressed with gzip, or not.",
                    default="",
                ),
                Field(
                    "digest",
                    Text(max_length=64),
                    "The digest of the plan without choices, instead of the plan; choices are sent beside it.",
                    default="",
                    example="0" * 64,
                ),
                CHOICES,
            ),
            opens_operation=True,
            other_answers=(STARTED,),
            result=Result(doc="The operation.", type=OPERATION_JSON),
            find=find_import,
            run=_apply,
        ),
        crud.delete(
            _delete,
            title="Delete an import from MAAS",
            doc="Forgets what was read, with its secrets. What was imported stays as it is.",
            permission=Permission.ADMIN,
            find=find_import,
        ),
    ),
)
RESOURCES = (MAAS_IMPORTS, MAAS_IMPORT)
