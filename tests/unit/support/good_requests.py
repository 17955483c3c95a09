"""Every endpoint of the API, with a valid request for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.description.examples import example_of
from regiond.api.replies import Reply
from regiond.api.resources.registry import SERVED
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import RACK_ID

KNOWN = {
    "vm-hosts": {"id": "4"},
    "pods": {"id": "4"},
    "virtual-machines": {"id": "17"},
    "vm-clusters": {"id": "1"},
    "machines": {"system_id": "wdpx3n"},
    "devices": {"system_id": "dev123"},
    "kept-disks": {"id": "3"},
    "exports": {"id": "8"},
    "operations": {"id": "77"},
    "discrepancies": {"id": "3"},
    "zones": {"name": "default"},
    "resourcepool": {"id": "0"},
    "tags": {"name": "virtual"},
    "boot-sources": {"boot_source_id": "1"},
    "domains": {"id": "0"},
    "dnsresources": {"id": "5"},
    "quotas": {"id": "1"},
    "boot-resources": {"id": "1000", "file_id": "1000"},
    "fabrics": {"id": "0", "fabric_id": "0", "vid": "100"},
    "racks": {"id": RACK_ID},
    "rackcontrollers": {"system_id": RACK_ID},
    "regioncontrollers": {"system_id": "r1"},
    "maas-servers": {"name": "metal"},
    "maas-imports": {"id": "4"},
    "webhook": {"id": "0123456789abcdefghij", "action": "on"},
    "rpc-clients": {"name": "east"},
    "users": {"username": "ann"},
    "vlans": {"id": "5002"},
    "subnets": {"id": "3"},
    "spaces": {"id": "2"},
    "ipranges": {"id": "6"},
    "account": {"id": "9", "list": "vms"},
    "files": {"filename": "provider-state"},
    "vmhost-certificate": {"name": "hv-01"},
}
ALTERNATIVES = frozenset(
    {"guests", "identity", "file", "field", "url", "digest", "machines"}
)  # not required, but one of two fields that a call needs
# Services that a request may ask before it is rejected.
READS = frozenset({"operations.read", "racks.read", "devices.read", "machines.list", "maas_imports.read"})
OF_THE_SAMPLE = {"disk": "sda", "interface": "eth0"}
ON_THE_HOST = {"id": "4", "interfaces": "41", "blockdevices": "31"}


DEPLOYMENT = {"id": "7", "secret": "0123456789abcdefghij"}


def path_of(resource: Resource, endpoint: Endpoint | None = None) -> str:
    """To an interface of a machine, or of a device if only these can be created and deleted."""
    collection = resource.path.split("/")[0]
    known = KNOWN.get(collection, {})
    if collection == "report":
        known = DEPLOYMENT
    if collection == "nodes":
        known = {"system_id": "wdpx3n"}
        own = next((name for name in ("id", "device_id") if name in resource.params), None)
        if own is not None:
            known[own] = ON_THE_HOST[resource.path.split("/")[2]]
        of_a_device = endpoint is not None and endpoint.name in {"create_physical", "delete"}
        if of_a_device and "interfaces" in resource.path:
            known = {"system_id": "dev123", "id": "51"}
    return resource.path.format(**known)


def name_of(resource: Resource, endpoint: Endpoint) -> str:
    return f"{resource.handler}.{endpoint.name}"


ENDPOINTS = [(resource, endpoint) for resource in SERVED for endpoint in resource.endpoints]
each_endpoint = pytest.mark.parametrize(("resource", "endpoint"), ENDPOINTS, ids=[name_of(*one) for one in ENDPOINTS])


def good_fields(endpoint: Endpoint) -> dict[str, Any]:
    """The fields that the request needs, with their examples, but for the names of objects of the sample."""
    needed = [one for one in endpoint.fields if one.required or one.name in ALTERNATIVES]
    return {one.name: OF_THE_SAMPLE.get(one.name, example_of(one)) for one in needed}


def request(api: ApiDouble, resource: Resource, endpoint: Endpoint, **changes: object) -> Reply:
    """The response to a valid request, or to one with other values for some fields."""
    form = with_op(endpoint, {**good_fields(endpoint), **changes})
    return api.request(endpoint.method, path_of(resource, endpoint), op=endpoint.op, form=form)


def unsigned(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> Reply:
    """The response to a valid request without a signature."""
    form = with_op(endpoint, good_fields(endpoint))
    return api.request(endpoint.method, path_of(resource, endpoint), op=endpoint.op, form=form, key=None)


def with_op(endpoint: Endpoint, form: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the op to the fields: GET and DELETE have both in the query."""
    return dict(form) if endpoint.op is None or endpoint.method in {"POST", "PUT"} else {"op": endpoint.op, **form}
