"""Invalid values at every endpoint, and the order of the checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.field_types import (
    Boolean,
    Choice,
    CommaList,
    File,
    Float,
    Integer,
    IntegerList,
    Text,
    TextList,
)
from regiond.api.declaration.fields import Field
from regiond.api.resources.registry import SERVED
from regiond.requests.caller import Permission
from tests.unit.answers.accounts import USER_KEY
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.good_requests import (
    ENDPOINTS,
    READS,
    each_endpoint,
    name_of,
    path_of,
    request,
    unsigned,
    with_op,
)


def wrong_values(one: Field) -> Iterator[object]:
    """Yields values of a wrong type or out of range."""
    kind = one.type
    if one.required:
        yield ""
        yield "   "
    if isinstance(kind, Integer | IntegerList):
        yield from ("four", "1.5", str(kind.minimum - 1), str(kind.maximum + 1), "9" * 30, "1,2")
    elif isinstance(kind, Float):
        yield from ("much", "nan", "inf", str(kind.minimum - 1), str(kind.maximum + 1))
    elif isinstance(kind, Boolean):
        yield from ("maybe", "2", "\x00")
    elif isinstance(kind, File):
        yield "its content as text"
    elif isinstance(kind, Choice):
        yield from ("nonsense", "\x00")
    elif isinstance(kind, CommaList | TextList):
        yield from ("\x00", "a" * (kind.max_length + 1))
    elif isinstance(kind, Text):
        yield from ("a\x00b", "a" * (kind.max_length + 1))


WITH_FIELDS = [one for one in ENDPOINTS if one[1].fields]


@pytest.mark.parametrize(("resource", "endpoint"), WITH_FIELDS, ids=[name_of(*one) for one in WITH_FIELDS])
def test_a_wrong_value_is_rejected_by_field_and_changes_nothing(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    for one in endpoint.fields:
        for value in wrong_values(one):
            reply = request(api, resource, endpoint, **{one.name: value})
            assert reply.status == 400, (one.name, value)
            assert list(json_of(reply)) == [one.name], value
    assert {call.name for call in api.done()} <= READS


@each_endpoint
def test_a_valid_request_gets_the_declared_status(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    reply = request(api, resource, endpoint)
    assert reply.status == endpoint.success, reply.body
    assert (reply.body == b"" and reply.chunks is None) == (endpoint.success in {101, 204})


@each_endpoint
def test_authentication_precedes_every_other_check(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    path = path_of(resource)
    reply = api.request(endpoint.method, path, op="no-such-op", key=None, query="op=no-such-op&%ff")
    if resource.open_to_anyone:
        assert reply.status == 400
    else:
        assert (reply.status, reply.body) == (401, b"Forbidden")
        assert "WWW-Authenticate" in reply.headers
    assert not api.calls


@each_endpoint
def test_only_what_is_declared_open_answers_an_unsigned_request(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    reply = unsigned(api, resource, endpoint)
    if endpoint.permission is Permission.ANYONE:
        assert reply.status == endpoint.success, reply.body
    else:
        assert (reply.status, reply.body, api.calls) == (401, b"Forbidden", [])


OWN_MACHINE = (
    "abort",
    "accept_off",
    "commission",
    "lock",
    "mark_broken",
    "mark_fixed",
    "power_cycle",
    "power_off",
    "power_on",
    "rebuild",
    "set_owner_data",
    "set_workload_annotations",
    "unlock",
)
OF_INTERFACES = (
    "add_tag",
    "delete",
    "disconnect",
    "link_subnet",
    "remove_tag",
    "set_default_gateway",
    "unlink_subnet",
    "update",  # of a VM host's interface: for administrators
)
FOR_USERS = {
    *(("InterfaceHandler", name, Permission.OWNER) for name in OF_INTERFACES),
    ("InterfacesHandler", "create_physical", Permission.OWNER),
    ("MachineHandler", "resize", Permission.OWNER),
    *(
        ("MachineHandler", op, Permission.OWNER)
        for op in ("set_boot", "insert_iso", "eject_iso", "register_in_maas", "unregister_from_maas")
    ),
    *(
        ("MachineHandler", op, Permission.OWNER)
        for op in ("add_disk", "adopt_disk", "attach_disk", "grow_disk", "move_disk", "remove_disk")
    ),
    *(("MachineHandler", op, Permission.OWNER) for op in ("add_interface", "change_interface", "remove_interface")),
    ("BlockDevicesHandler", "create", Permission.OWNER),
    *(
        ("BlockDeviceHandler", op, Permission.OWNER)
        for op in ("add_tag", "delete", "remove_tag", "set_boot_disk", "update")
    ),
    ("KeptDiskHandler", "delete", Permission.OWNER),
    *((handler, "import", Permission.OPERATOR) for handler in ("VmHostHandler", "PodHandler")),
    ("MachineHandler", "export", Permission.OWNER),
    ("ExportsHandler", "create", Permission.OPERATOR),
    ("ExportUploadHandler", "update", Permission.USER),
    ("ExportHandler", "delete", Permission.USER),
    ("DevicesHandler", "create", Permission.OPERATOR),
    *(("DeviceHandler", name, Permission.OWNER) for name in ("update", "delete", "set_owner_data")),
    ("NodeHandler", "set_owner_data", Permission.OWNER),
    ("MachineHandler", "clear_default_gateways", Permission.OWNER),
    *(("MachineHandler", op, Permission.OWNER) for op in OWN_MACHINE),
    ("MachineHandler", "delete", Permission.OWNER),
    ("MachineHandler", "update", Permission.OWNER),  # of the description; all else is for administrators
    *((handler, "release", Permission.OPERATOR) for handler in ("MachineHandler", "MachinesHandler")),
    ("MachineHandler", "deploy", Permission.OPERATOR),
    ("MachineHandler", "clone", Permission.OWNER),
    *(("MachinesHandler", op, Permission.OPERATOR) for op in ("allocate", "bulk")),
    ("OperationHandler", "cancel", Permission.USER),  # for administrators, except of one's own bulk operation
    *((handler, "place", Permission.OPERATOR) for handler in ("VmHostsHandler", "PodsHandler")),
    *(
        (handler, "compose", Permission.OPERATOR)
        for handler in ("VmHostHandler", "PodHandler", "VmHostsHandler", "PodsHandler")
    ),
    *(("AccountHandler", f"{verb}_authorisation_token", Permission.USER) for verb in ("create", "delete")),
    *(("AccountHandler", op, Permission.USER) for op in ("update_token_name", "change_password")),
    *(("SSHKeysHandler", name, Permission.USER) for name in ("create", "import")),
    ("SSHKeyHandler", "delete", Permission.USER),
    ("SavedFiltersHandler", "create", Permission.USER),
    *(
        (handler, name, Permission.USER)
        for handler in ("SavedFilterHandler", "TableColumnHandler")
        for name in ("update", "delete")
    ),
    ("FilesHandler", "create", Permission.USER),
    ("FileHandler", "delete", Permission.USER),
    ("RpcClientsHandler", "create", Permission.USER),
    ("RpcClientHandler", "delete", Permission.USER),
    ("SessionHandler", "delete", Permission.USER),
    ("AuthenticateHandler", "create", Permission.ANYONE),  # a login
    ("DeploymentReportHandler", "create", Permission.ANYONE),  # by guests, with the secret of their deployment
    ("VmHostReportHandler", "create", Permission.ANYONE),
    ("MaasPowerHandler", "create", Permission.ANYONE),  # by a MAAS, with the secret of the machine
    ("MaasPowerWithSlashHandler", "create", Permission.ANYONE),
}


def test_all_other_changes_are_for_administrators() -> None:
    changes = [(resource.handler, one.name, one.permission) for resource, one in ENDPOINTS if one.method != "GET"]
    assert {change for change in changes if change[2] is not Permission.ADMIN} == FOR_USERS


ADMINS_ONLY = [one for one in ENDPOINTS if one[1].permission is Permission.ADMIN]


@pytest.mark.parametrize(("resource", "endpoint"), ADMINS_ONLY, ids=[name_of(*one) for one in ADMINS_ONLY])
def test_the_role_is_checked_before_ids_and_fields(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    path = resource.path.replace("{id}", "nothing").replace("{name}", "nothing").replace("{system_id}", "nothing")
    reply = api.request(endpoint.method, path, op=endpoint.op, form=with_op(endpoint, {}), key=USER_KEY)
    assert (reply.status, reply.body) == (403, b"This method is reserved for admin users.")
    assert {call.name for call in api.calls} <= {"accounts.authenticate", "audit.record"}


FOUND_FIRST = [one for one in ENDPOINTS if one[1].find is not None]


@pytest.mark.parametrize(("resource", "endpoint"), FOUND_FIRST, ids=[name_of(*one) for one in FOUND_FIRST])
def test_an_unknown_object_is_404_before_fields_are_checked(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    form = with_op(endpoint, {one.name: "\x00" for one in endpoint.fields})
    for unknown in ("999", "nothing", "-1", "99999999999999999999", "1.0", "\x00"):
        path = resource.path
        for name in resource.params:
            path = path.replace(f"{{{name}}}", unknown if name == resource.params[-1] else "wdpx3n")
        reply = api.request(endpoint.method, path, op=endpoint.op, form=form)
        if (resource.handler, endpoint.method, unknown) == ("SpaceHandler", "GET", "-1"):
            assert json_of(reply)["name"] == "undefined"  # what is in no space
        else:
            assert (reply.status, reply.content_type) == (404, "text/plain; charset=utf-8"), unknown


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text takes seconds until Hypothesis has a cache
@given(st.data())
def test_no_json_body_breaks_any_endpoint(data: st.DataObject) -> None:
    writing = [one for one in ENDPOINTS if one[1].method in {"POST", "PUT"}]
    resource, endpoint = data.draw(st.sampled_from(writing))
    names = [one.name for one in endpoint.fields] or ["x"]
    body = data.draw(st.dictionaries(st.sampled_from(names), ANY_JSON))
    reply = ApiDouble().request(endpoint.method, path_of(resource), op=endpoint.op, document=body)
    assert reply.status in {200, 201, 204, 400, 404}


@given(st.text(), st.text(), st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X"]), st.sampled_from(SERVED))
def test_no_query_or_header_breaks_any_resource(query: str, header: str, method: str, resource: Resource) -> None:
    headers = {"prefer": header, "idempotency_key": header, "content_type": header}
    assert ApiDouble().request(method, path_of(resource), query=query, body=b"x", **headers).status < 500
