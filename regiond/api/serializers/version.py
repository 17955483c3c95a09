"""The version and the capabilities of the API."""

from __future__ import annotations

from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.declaration.serializer import STR, Serializer, array, constant, fields_of, serializer

CAPABILITIES = (
    "networks-management",
    "static-ipaddresses",
    "ipv6-deployment-ubuntu",
    "devices-management",
    "storage-deployment-ubuntu",
    "network-deployment-ubuntu",
    "bridging-interface-ubuntu",
    "bridging-automatic-ubuntu",
    "authenticate-api",
)
VERSION_JSON: Serializer[SiteInfo] = serializer(
    "Version",
    constant("capabilities", array(STR), CAPABILITIES),
    *fields_of(SiteInfo, "version subversion=software"),
)
