"""`version/`, `describe/` and `openapi.json`: the API's version and descriptions, open to anyone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from regiond.api.compression import packed
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result, SiteInfo
from regiond.api.declaration.serializer import OBJECT
from regiond.api.description.describe import describe
from regiond.api.description.openapi import openapi
from regiond.api.etags import etag_of
from regiond.api.json_text import compact, indented
from regiond.api.replies import Reply
from regiond.api.serializers.version import VERSION_JSON
from regiond.requests.caller import Permission

_PLAIN_JSON = "application/json"  # the maas CLI rejects a description with a charset

_ORIGIN = "\ue000"  # a placeholder for the scheme, host and port of a request; no text contains it
_MAX_ORIGINS = 16  # limited, because the client chooses the host of its request


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


def descriptions(resources: Sequence[Resource], *, documented: Sequence[Resource]) -> tuple[Resource, ...]:
    """Returns resources that serve descriptions: of `resources` for clients, of `documented` as OpenAPI.

    Each description is made once.
    """

    @lru_cache(maxsize=1)
    def text_for_clients() -> list[str]:
        return indented(describe(resources, origin=_ORIGIN)).split(json.dumps(_ORIGIN)[1:-1])

    @lru_cache(maxsize=_MAX_ORIGINS)
    def for_origin(origin: str) -> Reply:
        return _unchanging(json.dumps(origin)[1:-1].join(text_for_clients()))

    @lru_cache(maxsize=1)
    def for_version(version: str) -> Reply:
        return _unchanging(compact(openapi(documented, version=version)))

    async def _describe(call: Call) -> Reply:
        return for_origin(call.origin)

    async def _openapi(call: Call) -> Reply:
        return for_version(call.info.version)

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


def _unchanging(text: str) -> Reply:
    """Returns the answer with its tag, and compressed: together they cost as much as the rest of a request."""
    body = text.encode("ascii")
    return Reply(
        status=200,
        body=body,
        packed=packed(body),
        content_type=_PLAIN_JSON,
        headers={"ETag": etag_of(body)},
    )
