"""The schema of a database of MAAS is recognised by its tables and columns, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.errors import InvalidRequest
from innkeeper.maas_import.schema import recognise
from innkeeper.maas_import.tables import Row, Tables
from tests.maas_site.reading import inventory_from
from tests.maas_site.site import site
from tests.maas_site.versions import VERSIONS, site_of


def tables_of(version: str) -> Tables:
    """Tables and columns of the release, with the rows that say which it is."""
    found = Tables()
    for name, rows in (site_of(version, site()) | {"maasserver_vaultsecret": [{"path": 1, "deleted": 1}]}).items():
        found.columns[name.rpartition(".")[2]] = tuple(rows[0])
        if name in {"alembic_version", "django_migrations"}:
            found.rows[name] = [
                Row(name, {column: str(value) for column, value in row.items()})
                for row in rows
                if row.get("app", "maasserver") == "maasserver"
            ]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_each_supported_release_is_recognised(version: str) -> None:
    found = recognise(tables_of(version), "The dump")
    assert (found.version, found.complete) == (version, version != "4.0")


def test_an_upgraded_installation_is_not_taken_for_the_release_before() -> None:
    tables = tables_of("3.7.3")
    tables.rows["django_migrations"] = [Row("django_migrations", {"app": "maasserver", "name": "0343_goodbye_django"})]
    assert recognise(tables, "The dump").version == "3.7.3"


def test_a_later_migration_of_a_known_schema_is_no_hindrance() -> None:
    tables = tables_of("3.8")
    tables.rows["alembic_version"] = [Row("alembic_version", {"version_num": "0099"})]
    assert recognise(tables, "The dump").version == "3.8"


def _older(tables: Tables) -> None:
    tables.rows["django_migrations"] = [Row("django_migrations", {"app": "maasserver", "name": "0237_drop_legacy"})]


def _unnamed(tables: Tables) -> None:
    tables.rows["django_migrations"] = []


def _half_of_4_0(tables: Tables) -> None:
    del tables.columns["maasserver_podhints"]
    del tables.columns["maasserver_vmcluster"]


def _without_column(tables: Tables) -> None:
    tables.columns["maasserver_node"] = tuple(set(tables.columns["maasserver_node"]) - {"bmc_id"})


def _without_columns_of_hosts(tables: Tables) -> None:
    tables.columns["maasserver_bmc"] = ("id", "power_type", "power_parameters", "ip_address_id", "bmc_type")


def _one_table(tables: Tables) -> None:
    for name in set(tables.columns) - {"maasserver_node", "alembic_version"}:
        del tables.columns[name]


def _without_version(tables: Tables) -> None:
    del tables.columns["alembic_version"]


@pytest.mark.parametrize(
    ("version", "change", "problem"),
    [
        ("3.4", _older, "newest migration is 0237_drop_legacy. .*MAAS 3.4 to 3.8.*through its API"),
        ("3.6", _unnamed, "it does not say which"),
        ("3.8", _half_of_4_0, r"not known \(alembic 0030\): it lacks maasserver_podhints, maasserver_vmcluster"),
        ("3.7", _without_column, "lacks maasserver_node.bmc_id. .*some tables only is not enough"),
        ("3.7", _without_columns_of_hosts, r"lacks maasserver_bmc.name, .* and 2 more"),
        ("3.7", _one_table, r"lacks auth_user, .* and \d+ more"),
        ("4.0", _without_version, "lacks alembic_version"),
    ],
)
def test_other_schemas_are_refused_by_name(version: str, change: Callable[[Tables], None], problem: str) -> None:
    tables = tables_of(version)
    change(tables)
    with pytest.raises(InvalidRequest, match=f"The dump site.sql .*{problem}"):
        recognise(tables, "The dump site.sql")


@pytest.mark.parametrize(
    ("table", "column", "value", "problem"),
    [
        ("maasserver_node", "status", "deployed", r"maasserver_node.status of row 101 is no whole number"),
        ("maasserver_node", "locked", "yes", "maasserver_node.locked of row 101 is neither t nor f"),
        ("maasserver_bmc", "cpu_over_commit_ratio", "NaN", "cpu_over_commit_ratio of row 1 is no number"),
        ("maasserver_bmc", "tags", "one", "maasserver_bmc.tags of row 1 is no array"),
        ("maasserver_bmc", "power_parameters", ["x"], "power_parameters of row 1 is no object of JSON"),
        ("maasserver_secret", "value", "secret", "maasserver_secret.value .*is no object of JSON"),
        ("maasserver_virtualmachine", "pinned_cores", ["one"], "has an item that is no whole number"),
        ("maasserver_vlan", "fabric_id", 99, "maasserver_vlan.fabric_id refers to row 99 .* of the whole database"),
    ],
)
def test_values_of_other_types_are_refused_without_showing_them(
    table: str, column: str, value: Any, problem: str
) -> None:
    tables = site()
    tables[table] = [row | {column: value} for row in tables[table]]
    with pytest.raises(InvalidRequest, match=problem) as refused:
        inventory_from(tables)
    assert "secret" not in str(refused.value).replace("maasserver_secret", "")
