"""`rpc-clients/`: certificates for programs that call the region over RPC."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import part, serve
from regiond.api.serializers.racks import ISSUED_RPC_CLIENT_JSON, RPC_CLIENT_JSON, IssuedRpcClient
from regiond.requests.caller import Permission

_list = serve(lambda s: s.rpc_clients.list)


async def _create(call: Call) -> IssuedRpcClient:
    name = str(call.values["name"])
    certificate, key, authority = await call.services.rpc_clients.issue(call.caller, name)
    return IssuedRpcClient(
        name=name, certificate=certificate, key=key, authority=authority, address=call.info.rpc_address()
    )


_delete = serve(lambda s: s.rpc_clients.revoke, name=part("name"))

CLIENTS = Resource(
    handler="RpcClientsHandler",
    path="rpc-clients/",
    doc="RPC clients: programs that call the region over RPC.",
    endpoints=(
        crud.list_of(
            RPC_CLIENT_JSON,
            _list,
            title="List RPC clients",
            doc="Your own; administrators see those of all users.",
            result="The RPC clients that are not revoked.",
        ),
        crud.create(
            Result(
                doc="Certificate, key and authority as PEM, and the address to connect to.",
                type=ISSUED_RPC_CLIENT_JSON,
            ),
            _create,
            title="Issue a certificate for an RPC client",
            doc=(
                "The program has the rights of the calling account. Only this response contains the private key. The "
                "certificate is valid for 7 days, renewed by the program, and ends with the API key of this request."
            ),
            fields=(
                Field("name", Text(max_length=63), "Name of the client.", recorded=True, required=True, example="east"),
            ),
            permission=Permission.USER,
        ),
    ),
)
CLIENT = Resource(
    handler="RpcClientHandler",
    path="rpc-clients/{name}/",
    doc="One RPC client, by its name.",
    endpoints=(
        crud.delete(
            _delete,
            title="Revoke an RPC client",
            doc="Users revoke their own clients, administrators any. Disconnects the client at once.",
            permission=Permission.USER,
        ),
    ),
)
RESOURCES = (CLIENTS, CLIENT)
