"""`version/`, `describe/` and `openapi.json`: what this server is, for anyone who asks."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.api import schemas, shapes
from regiond.api.describe import describe
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.openapi import openapi
from regiond.api.replies import Reply, json_reply

CAPABILITIES = (
    "networks-management",
    "static-ipaddresses",
    "ipv6-deployment-ubuntu",
    "devices-management",
    "storage-deployment-ubuntu",
    "network-deployment-ubuntu",
    "bridging-interface-ubuntu",
    "bridging-automatic-ubuntu",
)
_PLAIN_JSON = "application/json"  # the maas CLI refuses a description with a charset


async def _version(call: Call) -> Reply:
    return json_reply(
        {"capabilities": list(CAPABILITIES), "version": call.info.version, "subversion": call.info.software}
    )


VERSION = Resource(
    handler="VersionHandler",
    path="version/",
    doc="The version of the API.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ANYONE,
            title="Read version and capabilities",
            result=Result(doc="The version.", schema=shapes.VERSION),
            run=_version,
        ),
    ),
)


def descriptions(resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """The resources that describe `resources`."""

    async def _describe(call: Call) -> Reply:
        return json_reply(describe(resources, origin=call.origin), content_type=_PLAIN_JSON)

    async def _openapi(call: Call) -> Reply:
        document = openapi(resources, origin=call.origin, version=call.info.version)
        return json_reply(document, content_type=_PLAIN_JSON)

    return (
        Resource(
            handler="DescribeHandler",
            path="describe/",
            doc="The description of the API, as command lines read it.",
            described=False,
            endpoints=(
                Endpoint(
                    method="GET",
                    permission=Permission.ANYONE,
                    title="Describe the API",
                    result=Result(doc="The description.", schema=schemas.ANYTHING),
                    run=_describe,
                ),
            ),
        ),
        Resource(
            handler="OpenApiHandler",
            path="openapi.json",
            doc="The description of the API as OpenAPI 3.1.",
            described=False,
            endpoints=(
                Endpoint(
                    method="GET",
                    permission=Permission.ANYONE,
                    title="Describe the API as OpenAPI",
                    result=Result(doc="The document.", schema=schemas.ANYTHING),
                    run=_openapi,
                ),
            ),
        ),
    )
