"""`vmhost-certificate/{name}`: the certificate that an LXD administrator adds to the trust store."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.replies import Reply, text_reply
from regiond.requests.caller import Permission


async def _read(call: Call) -> Reply:
    return text_reply(await call.services.hosts.certificate(call.path["name"]))


CERTIFICATE = Resource(
    handler="VmHostCertificateHandler",
    base="/MAAS/",  # outside the API, as in MAAS
    path="vmhost-certificate/{name}",
    doc="The client certificate that Innkeeper uses with an LXD host.",
    described=False,
    takes_slashes=True,  # host names may contain slashes
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
