"""`rpc-clients/`: certificates for programs that call the region over RPC as the account that asked."""

from __future__ import annotations

from regiond.api import schemas, shapes
from regiond.api.encoding.racks import encode_new_rpc_client, encode_rpc_client
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Text
from regiond.api.replies import Reply, empty_reply, json_reply


async def _list(call: Call) -> Reply:
    return json_reply([encode_rpc_client(client) for client in await call.services.racks.clients(call.caller)])


async def _create(call: Call) -> Reply:
    name = str(call.values["name"])
    issued = await call.services.racks.issue_client(call.caller, name)
    return json_reply(encode_new_rpc_client(name, issued, call.info.rpc_address()))


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
            result=Result(doc="Those not revoked.", schema=schemas.array(shapes.RPC_CLIENT)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.USER,
            fields=(Field(name="name", kind=Text(longest=63), required=True, doc="What to call it."),),
            title="Issue a certificate for an RPC client",
            doc="The program acts as the account that asks. The key is in this answer and nowhere else.",
            result=Result(
                doc="Certificate, key and authority as PEM, and the address to connect to.",
                schema=schemas.record(
                    "IssuedRpcClient",
                    name=schemas.STR,
                    certificate=schemas.STR,
                    key=schemas.STR,
                    authority=schemas.STR,
                    address=schemas.STR,
                ),
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
            doc="One's own, or any as an administrator. Its links are dropped at once.",
            result=Result(doc="Nothing."),
            success=204,
            run=_delete,
        ),
    ),
)
RESOURCES = (CLIENTS, CLIENT)
