"""`rpc-clients/`: certificates for programs that call the region over RPC."""

from __future__ import annotations

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializer import array
from regiond.api.serializers.racks import ISSUED_RPC_CLIENT_JSON, RPC_CLIENT_JSON, IssuedRpcClient


async def _list(call: Call) -> Reply:
    return json_reply([RPC_CLIENT_JSON.encode(client) for client in await call.services.racks.clients(call.caller)])


async def _create(call: Call) -> Reply:
    name = str(call.values["name"])
    certificate, key, authority = await call.services.racks.issue_client(call.caller, name)
    issued = IssuedRpcClient(
        name=name, certificate=certificate, key=key, authority=authority, address=call.info.rpc_address()
    )
    return json_reply(ISSUED_RPC_CLIENT_JSON.encode(issued))


async def _delete(call: Call) -> Reply:
    await call.services.racks.revoke_client(call.caller, call.path["name"])
    return empty_reply()


CLIENTS = Resource(
    handler="RpcClientsHandler",
    path="rpc-clients/",
    doc="RPC clients: programs that call the region over RPC.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ADMIN,
            title="List RPC clients",
            result=Result(doc="The RPC clients that are not revoked.", type=array(RPC_CLIENT_JSON)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.USER,
            fields=(Field(name="name", type=Text(max_length=63), required=True, doc="Name of the client."),),
            title="Issue a certificate for an RPC client",
            doc="The program has the rights of the calling account. Only this response contains the private key.",
            result=Result(
                doc="Certificate, key and authority as PEM, and the address to connect to.",
                type=ISSUED_RPC_CLIENT_JSON,
            ),
            run=_create,
        ),
    ),
)
CLIENT = Resource(
    handler="RpcClientHandler",
    path="rpc-clients/{name}/",
    doc="One RPC client, by its name.",
    endpoints=(
        Endpoint(
            method="DELETE",
            permission=Permission.USER,
            title="Revoke an RPC client",
            doc="Users revoke their own clients, administrators any. Disconnects the client at once.",
            result=Result(doc="Nothing."),
            success=204,
            run=_delete,
        ),
    ),
)
RESOURCES = (CLIENTS, CLIENT)
