"""`version/`, `describe/` and `openapi.json`: the API's version and descriptions, open to anyone."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.api import crud
from regiond.api.describe import describe
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result, SiteInfo
from regiond.api.openapi import openapi
from regiond.api.replies import Reply, json_reply
from regiond.api.serializer import OBJECT
from regiond.api.serializers.version import VERSION_JSON

_PLAIN_JSON = "application/json"  # the maas CLI rejects a description with a charset


async def _version(call: Call) -> SiteInfo:
    return call.info


VERSION = Resource(
    handler="VersionHandler",
    path="version/",
    doc="The version of the API.",
    endpoints=(
        crud.read(
            Result(doc="The version.", type=VERSION_JSON),
            _version,
            title="Read version and capabilities",
            permission=Permission.ANYONE,
        ),
    ),
)


def descriptions(resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """The resources that serve the descriptions of `resources`."""

    async def _describe(call: Call) -> Reply:
        return json_reply(describe(resources, origin=call.origin), content_type=_PLAIN_JSON)

    async def _openapi(call: Call) -> Reply:
        document = openapi(resources, origin=call.origin, version=call.info.version)
        return json_reply(document, content_type=_PLAIN_JSON)

    for_clients = Endpoint(
        method="GET",
        permission=Permission.ANYONE,
        title="Describe the API",
        result=Result(doc="The description.", type=OBJECT),
        run=_describe,
    )
    as_openapi = Endpoint(
        method="GET",
        permission=Permission.ANYONE,
        title="Describe the API as OpenAPI",
        result=Result(doc="The document.", type=OBJECT),
        run=_openapi,
    )
    return (
        _description(
            "DescribeHandler", "describe/", "The description of the API for command-line clients.", for_clients
        ),
        _description("OpenApiHandler", "openapi.json", "The description of the API as OpenAPI 3.1.", as_openapi),
    )


def _description(handler: str, path: str, doc: str, endpoint: Endpoint) -> Resource:
    return Resource(handler=handler, path=path, doc=doc, described=False, endpoints=(endpoint,))
