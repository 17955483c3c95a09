"""`maas-servers/`: the MAAS servers in which machines can be registered."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.field_types import Boolean, FileOrText, Secret, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    STR,
    TIMESTAMP,
    Serializer,
    fields_of,
    key,
    nullable,
    serializer,
)
from regiond.api.declaration.served import filled, found, part, serve, target
from regiond.api.urls import uri
from regiond.maas.bridge.model import MaasServer, MaasServerChange, NewMaasServer
from regiond.maas.services import MaasServices

_MAX_PEM = 65536
MAAS_SERVER_JSON: Serializer[MaasServer] = serializer(
    "MaasServer",
    *fields_of(MaasServer, "id name url version username fingerprint power_url"),
    key("has_ca", BOOL, lambda server: bool(server.ca)),
    key("verify_power_tls", BOOL, lambda server: server.verify_power_tls),
    key("machines", INT, lambda server: server.machines),
    key("checked_at", nullable(TIMESTAMP), lambda server: server.checked_at),
    key("problem", STR, lambda server: server.problem),
    key("resource_uri", STR, lambda server: uri("maas-servers", server.name)),
)
_URL = Field(
    "url", Text(max_length=2048), "URL of the MAAS, such as http://maas.example.com:5240/MAAS.", recorded=True,
    example="http://maas.example.com:5240/MAAS",
)  # fmt: skip
_KEY = Field("key", Secret(max_length=512), "API key of an administrator of the MAAS.", example="a:b:c")
_TRUST = (
    Field("ca", FileOrText(max_length=_MAX_PEM), "The CA of its certificate, as PEM (default: the system's)."),
    Field(
        "fingerprint", Text(max_length=128), "SHA-256 fingerprint of its certificate, instead of a CA.", recorded=True
    ),
    Field(
        "power_url",
        Text(max_length=2048),
        "Scheme, host and port at which the racks of the MAAS reach this region (default: its public URL).",
        recorded=True,
    ),
)
_VERIFY = Field(
    "verify_power_tls",
    Boolean(),
    "The racks of the MAAS verify this region's certificate, by the authorities of their system (default true).",
)
_SERVER = Result(doc="The MAAS server, without its key.", type=MAAS_SERVER_JSON)
_find = found(lambda s: s.of(MaasServices).maas_servers.read, "name")
_list = serve(lambda s: s.of(MaasServices).maas_servers.list)
_create = serve(lambda s: s.of(MaasServices).maas_servers.create, "skip_check", new=filled(NewMaasServer))
_update = serve(lambda s: s.of(MaasServices).maas_servers.update, name=target("name"), change=filled(MaasServerChange))
_check = serve(lambda s: s.of(MaasServices).maas_servers.check, name=target("name"))
_delete = serve(lambda s: s.of(MaasServices).maas_servers.delete, name=part("name"))


def _required(one: Field) -> Field:
    return Field(one.name, one.type, one.doc, required=True, recorded=one.recorded, example=one.example)


SERVERS = Resource(
    handler="MaasServersHandler",
    path="maas-servers/",
    doc="MAAS servers in which machines can be registered.",
    endpoints=(
        crud.list_of(
            MAAS_SERVER_JSON, _list, title="List MAAS servers", doc="All, by name.", result="The MAAS servers."
        ),
        crud.create(
            _SERVER,
            _create,
            title="Add a MAAS server",
            doc="The server is asked for its version and for whose key it is; without an answer nothing is stored.",
            fields=(
                Field("name", Text(max_length=64), "Unique name.", recorded=True, required=True, example="metal"),
                _required(_URL),
                _required(_KEY),
                *_TRUST,
                _VERIFY,
                Field("skip_check", Boolean(), "Store it without asking it (default false).", default=False),
            ),
            expensive=True,
        ),
    ),
)
SERVER = Resource(
    handler="MaasServerHandler",
    path="maas-servers/{name}/",
    doc="One MAAS server, by its name.",
    endpoints=(
        crud.read_target(_SERVER, _find, title="Read a MAAS server"),
        crud.update(
            _SERVER,
            _update,
            title="Change a MAAS server",
            doc="Machines that are registered there keep the address for power that the MAAS has stored.",
            find=_find,
            fields=(_URL, _KEY, *_TRUST, _VERIFY),
        ),
        crud.action(
            "check",
            _SERVER,
            _check,
            title="Check the connection to a MAAS server",
            doc="Asks it for its version and for whose key it is.",
            find=_find,
            expensive=True,
        ),
        crud.delete(
            _delete,
            title="Remove a MAAS server",
            doc="Changes nothing there. Not while machines are registered in it.",
            find=_find,
        ),
    ),
)
RESOURCES = (SERVERS, SERVER)
