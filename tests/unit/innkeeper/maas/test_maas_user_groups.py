"""Groups of MAAS 3.8 are named with their rights where an import cannot take them."""

from __future__ import annotations

import pytest

from tests.maas_site.reading import inventory_from
from tests.maas_site.site import site
from tests.maas_site.versions import site_of


def test_groups_are_named_with_members_and_rights() -> None:
    inventory = inventory_from(site_of("3.8", site()))
    groups = {one.name: one.reason for one in inventory.left_out if one.id.startswith("group:")}
    assert list(groups) == ["Users", "Lab"]
    assert "with these rights in MAAS: can_deploy_machines in the resource pool " in groups["Lab"]
    assert "with these rights in MAAS: none." in groups["Users"]
    assert [one.username for one in inventory.users if one.is_admin] == ["anna"]


@pytest.mark.parametrize("version", ["3.4", "3.7.3"])
def test_older_releases_have_none(version: str) -> None:
    inventory = inventory_from(site_of(version, site()))
    assert not any(one.id.startswith("group:") for one in inventory.left_out)
