"""The made-up site as other releases of MAAS have it in their databases."""

from __future__ import annotations

from collections.abc import Iterable

from tests.maas_site.people import ADMIN
from tests.maas_site.tables import JOINED, Row, Tables

VERSIONS = ("3.4", "3.4.2", "3.5", "3.5.2", "3.6", "3.7", "3.7.3", "3.8", "4.0")
_MIGRATIONS = {
    "3.4": ("0304_interface_params_no_autoconf",),
    "3.4.2": ("0304_interface_params_no_autoconf", "0318_add_port_to_forward_dns_servers"),
    "3.5": ("0304_interface_params_no_autoconf", "0305_add_temporal_schema", "0327_alter_bootresourcefile"),
    "3.5.2": ("0305_add_temporal_schema", "0330_bootresourcefile_filename_on_disk"),
    "3.6": ("0305_add_temporal_schema", "0330_bootresourcefile_filename_on_disk", "0340_drop_keysource_table"),
}
_ALEMBIC = {"3.7": "0004", "3.7.3": "0026", "3.8": "0030", "4.0": "0037"}
_OF_HOSTS = (
    "maasserver_virtualmachineinterface", "maasserver_virtualmachinedisk", "maasserver_virtualmachine",
    "maasserver_podhints_nodes", "maasserver_podhints", "maasserver_podstoragepool", "maasserver_vmcluster",
)  # fmt: skip
_BMC_LEFT = ("id", "power_type", "power_parameters", "ip_address_id", "created_by_commissioning", "created", "updated")


def site_of(version: str, tables: Tables) -> Tables:
    """The rows of a site of 3.7.3 as this release keeps them."""
    found = {name: [dict(row) for row in rows] for name, rows in tables.items()}
    if version in _ALEMBIC:
        found["alembic_version"] = [{"version_num": _ALEMBIC[version]}]
    if version not in {"3.8", "4.0"}:
        found["django_migrations"] = [
            {"id": number, "app": app, "name": name, "applied": JOINED}
            for number, (app, name) in enumerate(
                (("auth", "0999_of_another_app"), *(("maasserver", one) for one in _MIGRATIONS.get(version, ()))), 1
            )
        ]
    if version.startswith(("3.4", "3.5")):
        del found["maasserver_reservedip"]
        found["maasserver_sshkey"] = [
            _without(row, ("protocol", "auth_id")) | {"keysource_id": None} for row in found["maasserver_sshkey"]
        ]
    if version.startswith("3.4"):
        del found["maasserver_defaultresource"]
    if version.startswith(("3.4", "3.5", "3.6")):
        found["maasserver_node"] = [_without(row, ("is_dpu",)) for row in found["maasserver_node"]]
    if version in {"3.8", "4.0"}:
        _add_groups(found)
    if version == "4.0":
        for name in _OF_HOSTS:
            del found[name]
        found["maasserver_bmc"] = [{name: row[name] for name in _BMC_LEFT} for row in found["maasserver_bmc"]]
        found["maasserver_node"] = [
            _without(row, ("install_kvm", "register_vmhost")) for row in found["maasserver_node"]
        ]
    return found


def _add_groups(found: Tables) -> None:
    """Groups have the rights: the column of users no longer says who is an administrator."""
    found["auth_user"] = [row | {"is_superuser": False} for row in found["auth_user"]]
    found["maasserver_userprofile"] = [row | {"provider_id": None} for row in found["maasserver_userprofile"]]
    found["maasserver_interface"] = [row | {"switch_id": None} for row in found["maasserver_interface"]]
    found["maasserver_usergroup"] = [
        {"id": 1, "name": "Administrators", "description": ""},
        {"id": 2, "name": "Users", "description": ""},
        {"id": 3, "name": "Lab", "description": ""},
    ]
    found["openfga.tuple"] = [
        _tuple("maas", "0", "can_edit_machines", "group:1#member"),
        _tuple("pool", str(found["maasserver_resourcepool"][0]["id"]), "can_deploy_machines", "group:3#member"),
        _tuple("group", "1", "member", f"user:{ADMIN}"),
        *(_tuple("group", "2", "member", f"user:{row['id']}") for row in found["auth_user"] if row["id"] > ADMIN),
    ]


def _tuple(object_type: str, object_id: str, relation: str, user: str) -> Row:
    return {
        "store": "store", "object_type": object_type, "object_id": object_id, "relation": relation, "_user": user,
        "user_type": "user",
    }  # fmt: skip


def _without(row: Row, columns: Iterable[str]) -> Row:
    return {name: value for name, value in row.items() if name not in columns}
