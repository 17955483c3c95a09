"""`/MAAS/vmhost-certificate/{name}`: what an administrator of LXD fetches to trust a host. Never the key."""

from __future__ import annotations

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.replies import Reply, text_reply


async def _read(call: Call) -> Reply:
    return text_reply(await call.services.hosts.certificate(call.path["name"]))


CERTIFICATE = Resource(
    handler="VmHostCertificateHandler",
    base="/MAAS/",  # where MAAS has it, outside its API
    path="vmhost-certificate/{name}",
    doc="The certificate with which Innkeeper speaks to an LXD host.",
    described=False,
    takes_slashes=True,  # names of hosts may hold anything
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ANYONE,
            title="Read the certificate of a VM host",
            result=Result(doc="The certificate as PEM, plain text."),
            run=_read,
        ),
    ),
)
