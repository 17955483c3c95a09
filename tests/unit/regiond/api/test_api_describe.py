"""`describe/`, from which four clients build their commands, and the OpenAPI document."""

from __future__ import annotations

import gzip
import json
import re
import string
from typing import Any

import pytest

from common.release import running_release
from innkeeper.api_description import read_description
from innkeeper.arguments import parse_call
from regiond.api.compression import compressed
from regiond.api.description.describe import describe, description_hash
from regiond.api.description.openapi import openapi
from regiond.api.etags import etag_of
from regiond.api.resources.empty_lists import RESOURCES as EMPTY_LISTS
from regiond.api.resources.registry import DESCRIBED, DOCUMENTED, RESOURCES, SERVED
from regiond.api.urls import BASE
from regiond.hosts.model import GuestFilter
from regiond.requests.caller import Permission
from tests.unit.support.api_double import ApiDouble

ORIGIN = "http://region:5240"
DESCRIPTION = describe(SERVED, origin=ORIGIN)
NO_COMMANDS = {
    "pools/": "resourcepools/, for gomaasapi",
    "rackControllers/": "rackcontrollers/, for gomaasclient",
    "events/stream": "events/?op=stream, for browsers",
    "describe/": "the description itself",
    "openapi.json": "the description itself",
}
HANDLERS: list[dict[str, Any]] = DESCRIPTION["handlers"]
ACTIONS = [(handler, action) for handler in HANDLERS for action in handler["actions"]]
EXPECTED = {
    "VersionHandler": ("version/", []),
    "UsersHandler": ("users/", []),
    "UserHandler": ("users/{username}/", ["username"]),
    "AccountHandler": ("account/", []),
    "SSHKeysHandler": ("account/prefs/sshkeys/", []),
    "SSHKeyHandler": ("account/prefs/sshkeys/{id}/", ["id"]),
    "SavedFiltersHandler": ("account/filters/", []),
    "SavedFilterHandler": ("account/filters/{id}/", ["id"]),
    "TableColumnsHandler": ("account/columns/", []),
    "TableColumnHandler": ("account/columns/{list}/", ["list"]),
    "FilesHandler": ("files/", []),
    "FileHandler": ("files/{filename}/", ["filename"]),
    "SessionsHandler": ("account/sessions/", []),
    "SessionHandler": ("account/sessions/{id}/", ["id"]),
    "QuotasHandler": ("quotas/", []),
    "QuotaHandler": ("quotas/{id}/", ["id"]),
    "BootResourcesHandler": ("boot-resources/", []),
    "BootResourceHandler": ("boot-resources/{id}/", ["id"]),
    "ZonesHandler": ("zones/", []),
    "ZoneHandler": ("zones/{name}/", ["name"]),
    "ResourcePoolsHandler": ("resourcepools/", []),
    "ResourcePoolHandler": ("resourcepool/{id}/", ["id"]),
    "TagsHandler": ("tags/", []),
    "TagHandler": ("tags/{name}/", ["name"]),
    "VmHostsHandler": ("vm-hosts/", []),
    "VmHostHandler": ("vm-hosts/{id}/", ["id"]),
    "PodsHandler": ("pods/", []),
    "PodHandler": ("pods/{id}/", ["id"]),
    "VirtualMachinesHandler": ("virtual-machines/", []),
    "VirtualMachineHandler": ("virtual-machines/{id}", ["id"]),
    "VmClustersHandler": ("vm-clusters/", []),
    "VmClusterHandler": ("vm-clusters/{id}", ["id"]),
    "MachinesHandler": ("machines/", []),
    "MachineHandler": ("machines/{system_id}/", ["system_id"]),
    "NodesHandler": ("nodes/", []),
    "NodeHandler": ("nodes/{system_id}/", ["system_id"]),
    "RackControllersHandler": ("rackcontrollers/", []),
    "RackControllerHandler": ("rackcontrollers/{system_id}/", ["system_id"]),
    "RegionControllersHandler": ("regioncontrollers/", []),
    "RegionControllerHandler": ("regioncontrollers/{system_id}/", ["system_id"]),
    "MaasHandler": ("maas/", []),
    "MaasImportsHandler": ("maas-imports/", []),
    "MaasImportHandler": ("maas-imports/{id}/", ["id"]),
    "MaasServersHandler": ("maas-servers/", []),
    "MaasServerHandler": ("maas-servers/{name}/", ["name"]),
    "InterfacesHandler": ("nodes/{system_id}/interfaces/", ["system_id"]),
    "InterfaceHandler": ("nodes/{system_id}/interfaces/{id}/", ["system_id", "id"]),
    "DevicesHandler": ("devices/", []),
    "DeviceHandler": ("devices/{system_id}/", ["system_id"]),
    "BlockDevicesHandler": ("nodes/{system_id}/blockdevices/", ["system_id"]),
    "ExportsHandler": ("exports/", []),
    "ExportHandler": ("exports/{id}/", ["id"]),
    "ExportUploadHandler": ("exports/{id}/upload/", ["id"]),
    "KeptDisksHandler": ("kept-disks/", []),
    "KeptDiskHandler": ("kept-disks/{id}/", ["id"]),
    "BlockDeviceHandler": ("nodes/{system_id}/blockdevices/{id}/", ["system_id", "id"]),
    "FabricsHandler": ("fabrics/", []),
    "FabricHandler": ("fabrics/{id}/", ["id"]),
    "VlansHandler": ("fabrics/{fabric_id}/vlans/", ["fabric_id"]),
    "VlanHandler": ("fabrics/{fabric_id}/vlans/{vid}/", ["fabric_id", "vid"]),
    "SubnetsHandler": ("subnets/", []),
    "SubnetHandler": ("subnets/{id}/", ["id"]),
    "SpacesHandler": ("spaces/", []),
    "SpaceHandler": ("spaces/{id}/", ["id"]),
    "IPRangesHandler": ("ipranges/", []),
    "IPRangeHandler": ("ipranges/{id}/", ["id"]),
    "DomainsHandler": ("domains/", []),
    "DomainHandler": ("domains/{id}/", ["id"]),
    "DNSResourcesHandler": ("dnsresources/", []),
    "DNSResourceHandler": ("dnsresources/{id}/", ["id"]),
    "OperationsHandler": ("operations/", []),
    "OperationHandler": ("operations/{id}/", ["id"]),
    "EventsHandler": ("events/", []),
    "AuditHandler": ("audit/", []),
    "DiscrepanciesHandler": ("discrepancies/", []),
    "AttentionHandler": ("attention/", []),
    "DiscrepancyHandler": ("discrepancies/{id}/", ["id"]),
    "RacksHandler": ("racks/", []),
    "RegionsHandler": ("regions/", []),
    "RpcClientsHandler": ("rpc-clients/", []),
    "RpcClientHandler": ("rpc-clients/{name}/", ["name"]),
    "RackHandler": ("racks/{id}/", ["id"]),
    "VlanByIdHandler": ("vlans/{id}/", ["id"]),
    "BootResourceFileUploadHandler": ("boot-resources/{id}/upload/{file_id}/", ["id", "file_id"]),
    "StaticRoutesHandler": ("static-routes/", []),
    "DNSResourceRecordsHandler": ("dnsresourcerecords/", []),
    "DHCPSnippetsHandler": ("dhcp-snippets/", []),
    "PackageRepositoriesHandler": ("package-repositories/", []),
    "BootSourcesHandler": ("boot-sources/", []),
    "BootSourceSelectionsHandler": ("boot-sources/{boot_source_id}/selections/", ["boot_source_id"]),
    "DiscoveriesHandler": ("discovery/", []),
    "NodeScriptsHandler": ("scripts/", []),
    "CommissioningScriptsHandler": ("commissioning-scripts/", []),
    "InstallationResultsHandler": ("installation-results/", []),
    "NotificationsHandler": ("notifications/", []),
    "LicenseKeysHandler": ("license-keys/", []),
    "IPAddressesHandler": ("ipaddresses/", []),
    "ReservedIPsHandler": ("reservedips/", []),
    "SSLKeysHandler": ("account/prefs/sslkeys/", []),
    "NodeResultsHandler": ("nodes/{system_id}/results/", ["system_id"]),
    "NodeDevicesHandler": ("nodes/{system_id}/devices/", ["system_id"]),
    "PartitionsHandler": ("nodes/{system_id}/blockdevices/{device_id}/partitions/", ["system_id", "device_id"]),
    "RaidsHandler": ("nodes/{system_id}/raids/", ["system_id"]),
    "VolumeGroupsHandler": ("nodes/{system_id}/volume-groups/", ["system_id"]),
    "BcachesHandler": ("nodes/{system_id}/bcaches/", ["system_id"]),
    "BcacheCacheSetsHandler": ("nodes/{system_id}/bcache-cache-sets/", ["system_id"]),
    "VmfsDatastoresHandler": ("nodes/{system_id}/vmfs-datastores/", ["system_id"]),
}


def test_names_paths_and_parameters_are_as_clients_expect() -> None:
    found = {
        entry["name"]: (handler["path"].removeprefix("/MAAS/api/2.0/"), handler["params"])
        for entry in DESCRIPTION["resources"]
        for handler in [entry["anon"] or entry["auth"]]
    }
    assert found == EXPECTED


def test_every_served_operation_is_described() -> None:
    described = {
        (handler["path"], action["method"], action["op"]) for handler in HANDLERS for action in handler["actions"]
    }
    served = {
        (resource.full_path, one.method, one.op)
        for resource in SERVED
        if resource.base == BASE and resource.path not in NO_COMMANDS
        for one in resource.endpoints
    }
    assert described == served
    assert ApiDouble().json("GET", "describe/", key=None, origin=ORIGIN) == json.loads(json.dumps(DESCRIPTION))


def test_lists_of_what_only_maas_has_are_not_offered() -> None:
    description = read_description(DESCRIPTION)
    assert "static-routes" in description.resources
    assert {one.command for one in description.offered}.isdisjoint({"static-routes", "raids", "partitions"})
    assert len(description.offered) == len(description.resources) - len(EMPTY_LISTS)


def test_a_resource_is_anonymous_or_authenticated() -> None:
    for entry in DESCRIPTION["resources"]:
        assert set(entry) == {"name", "anon", "auth"}
        assert (entry["anon"] is None) != (entry["auth"] is None)
        handler = entry["anon"] or entry["auth"]
        assert handler["name"].removeprefix("Anon") == entry["name"]
    assert [entry["name"] for entry in DESCRIPTION["resources"] if entry["anon"]] == ["VersionHandler"]


@pytest.mark.parametrize("handler", HANDLERS, ids=[handler["name"] for handler in HANDLERS])
def test_the_braces_of_path_and_uri_are_the_parameters(handler: dict[str, Any]) -> None:
    for template in (handler["path"], handler["uri"]):
        braces = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        assert braces == handler["params"]
    assert handler["uri"] == ORIGIN + handler["path"]
    assert set(handler) == {"name", "doc", "path", "params", "uri", "always_empty", "actions"}


@pytest.mark.parametrize(("handler", "action"), ACTIONS, ids=[f"{h['name']}.{a['name']}" for h, a in ACTIONS])
def test_actions_have_the_keys_that_clients_read(handler: dict[str, Any], action: dict[str, Any]) -> None:
    assert set(action) == {
        "name",
        "method",
        "op",
        "restful",
        "doc",
        "destructive",
        "dry_run",
        "takes_key",
        "stream",
        "formats",
        "choices",
    }
    assert action["restful"] == (action["op"] is None)
    plain = {"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}
    assert action["name"] == (action["op"] or plain[action["method"]])
    assert len({(one["method"], one["op"]) for one in handler["actions"]}) == len(handler["actions"])


def test_the_description_names_the_actions_that_take_an_idempotency_key() -> None:
    commands = read_description(DESCRIPTION).resources
    taking = {
        f"{one.command} {each.command}" for one in commands.values() for each in one.actions.values() if each.takes_key
    }
    assert {"vm-host compose", "vm-host delete", "zones create", "account create-authorisation-token"} <= taking
    assert not {"vm-hosts read", "vm-hosts place"} & taking


def test_every_field_has_a_param_line_after_the_first_paragraph() -> None:
    for resource in RESOURCES:
        for endpoint in resource.endpoints:
            title, _, rest = endpoint.help.partition("\n\n")
            assert ":param" not in title
            assert re.findall(r"^:param (\w+): ", rest, re.MULTILINE) == [one.name for one in endpoint.fields]


def test_foreign_virtual_machines_are_listed_by_a_command() -> None:
    commands = read_description(DESCRIPTION).resources
    assert [*commands["virtual-machine"].actions] == ["read", "adopt"]
    call = parse_call(read_description(DESCRIPTION), ["virtual-machines", "read", "foreign=true"])
    assert call.path == "virtual-machines/"
    for form, foreign in (({}, None), ({"foreign": "true"}, True), ({"foreign": "false"}, False)):
        api = ApiDouble()
        (listed,) = api.json("GET", "virtual-machines/", form=form)
        assert listed["identifier"] == "quick-fox"
        assert api.call("hosts.long_list_of_guests").args == (GuestFilter(foreign=foreign),)


def test_the_hash_does_not_depend_on_the_origin() -> None:
    assert DESCRIPTION["hash"] == describe(SERVED, origin="https://other")["hash"] == description_hash(SERVED)
    assert re.fullmatch(r"[0-9a-f]{40}", DESCRIPTION["hash"])
    assert description_hash(SERVED[1:]) != DESCRIPTION["hash"]


def test_version_has_the_form_that_clients_parse() -> None:
    found = ApiDouble().json("GET", "version/", key=None)
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert "networks-management" in found["capabilities"]
    assert "authenticate-api" in found["capabilities"]  # python-libmaas logs in by password only with it
    assert found["subversion"] == f"innkeeper {running_release()}"


def test_descriptions_are_plain_json_for_anyone() -> None:
    for path in ("describe/", "openapi.json"):
        assert ApiDouble().request("GET", path, key=None).content_type == "application/json"


def test_descriptions_are_made_once_and_have_a_tag() -> None:
    for path in ("describe/", "openapi.json"):
        first, second = (ApiDouble().request("GET", path, key=None) for _ in range(2))
        assert first.body is second.body
        assert first.headers["ETag"] == etag_of(first.body)
        assert gzip.decompress(compressed(first).body) == first.body
        known = ApiDouble().request("GET", path, key=None, if_none_match=first.headers["ETag"])
        assert (known.status, known.body) == (304, b"")


def test_only_the_description_for_clients_names_the_host_of_the_request() -> None:
    for origin in ("https://other.example:5240", 'http://"quoted"\\'):
        found = ApiDouble().json("GET", "describe/", key=None, origin=origin)
        assert found == json.loads(json.dumps(describe(DESCRIBED, origin=origin)))
        assert ApiDouble().json("GET", "openapi.json", key=None, origin=origin)["servers"] == [{"url": "/"}]


DOCUMENT = openapi(DOCUMENTED, version="3.7.3")


def test_openapi_has_every_endpoint_once() -> None:
    operations = [item[method] for item in DOCUMENT["paths"].values() for method in item if method != "parameters"]
    assert len(operations) == sum(len(resource.endpoints) for resource in DOCUMENTED)
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])


def test_openapi_paths_declare_their_parameters() -> None:
    for path, item in DOCUMENT["paths"].items():
        assert path.startswith("/")
        assert re.findall(r"{(\w+)}", path) == [one["name"] for one in item.get("parameters", [])]
        assert all(one["required"] and one["in"] == "path" for one in item.get("parameters", []))


def test_openapi_references_resolve_and_operations_are_complete() -> None:
    for item in DOCUMENT["paths"].values():
        for method, operation in item.items():
            if method == "parameters":
                continue
            assert method in {"get", "post", "put", "delete"}
            assert operation["summary"]
            assert operation["responses"]
            assert all(answer["description"] for answer in operation["responses"].values())
            assert ("requestBody" in operation) <= (method in {"post", "put"})
    for reference in _references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def test_openapi_requires_a_signature_where_the_api_does() -> None:
    for resource in RESOURCES:
        for endpoint in resource.endpoints:
            path = resource.full_path if endpoint.op is None else f"{resource.full_path.rstrip('/')}/op-{endpoint.op}"
            operation = DOCUMENT["paths"][path][endpoint.method.lower()]
            assert (operation["security"] == []) == (endpoint.permission is Permission.ANYONE)


def test_openapi_names_every_status_of_a_deletion() -> None:
    host = DOCUMENT["paths"]["/MAAS/api/2.0/vm-hosts/{id}/"]["delete"]
    assert list(host["responses"]) == [
        "204", "202", "200", "400", "401", "403", "404", "409", "412", "414", "422", "429", "503", "504", "default",
    ]  # fmt: skip
    assert [one["name"] for one in host["parameters"] if one["in"] == "header"] == [
        "Prefer", "Idempotency-Key", "If-Match",
    ]  # fmt: skip
    plans = host["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert [one["$ref"].rpartition("/")[2] for one in plans] == ["HostRemovalPlan", "ForcedRemoval"]


def test_openapi_names_the_idempotency_key_of_each_change_by_an_account() -> None:
    for resource in DOCUMENTED:
        for endpoint in resource.endpoints:
            suffix = "" if endpoint.op is None else f"{'' if resource.path.endswith('/') else '/'}op-{endpoint.op}"
            found = DOCUMENT["paths"][resource.full_path + suffix][endpoint.method.lower()]
            takes = "Idempotency-Key" in [one["name"] for one in found.get("parameters", ()) if one["in"] == "header"]
            is_change = endpoint.changes and found["security"] != []
            assert takes == is_change, found["operationId"]
            assert ("422" in found["responses"]) == takes
            assert ("Idempotency-Replayed" in found["responses"][str(endpoint.success)].get("headers", {})) == takes


def test_openapi_has_the_headers_of_lists_and_single_reads() -> None:
    pages = DOCUMENT["paths"]["/MAAS/api/2.0/zones/"]["get"]
    assert list(pages["responses"]["200"]["headers"]) == ["X-Total-Count", "Link"]
    assert [one["name"] for one in pages["parameters"]] == ["limit", "after", "sort", "q"]
    one = DOCUMENT["paths"]["/MAAS/api/2.0/zones/{name}/"]["get"]
    assert list(one["responses"]["200"]["headers"]) == ["ETag"]
    assert "304" in one["responses"]


def test_openapi_has_if_match_where_an_object_is_changed() -> None:
    def has_if_match(path: str, method: str) -> bool:
        operation = DOCUMENT["paths"][f"/MAAS/api/2.0/{path}"][method]
        named = any(one["name"] == "If-Match" for one in operation.get("parameters", ()))
        assert named == ("412" in operation["responses"])
        return named

    assert has_if_match("machines/{system_id}/op-lock", "post")
    assert has_if_match("zones/{name}/", "put")
    assert not has_if_match("machines/op-allocate", "post")
    assert not has_if_match("zones/", "post")
    assert not has_if_match("machines/{system_id}/", "get")


def test_openapi_allows_keys_that_later_releases_add() -> None:
    assert all("additionalProperties" not in one for one in DOCUMENT["components"]["schemas"].values())


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for inner in value.values() for found in _references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _references(inner)]
    return []
