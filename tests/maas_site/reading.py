"""The inventory of rows of the made-up MAAS, read from their script."""

from __future__ import annotations

from io import BytesIO

from common.maas.inventory import Inventory, SourceKind
from innkeeper.maas_import.inventory import inventory_of
from innkeeper.maas_import.script import read_script
from tests.maas_site.script import script_of
from tests.maas_site.tables import Tables
from tests.maas_site.versions import site_of

_NO_ROWS = "\nCOPY public.{} ({}) FROM stdin;\n\\.\n"


def inventory_from(tables: Tables, *, version: str = "3.7.3", source: str = "The dump") -> Inventory:
    """The inventory of a site of 3.7.3 as a dump of this release has it."""
    return inventory_of(
        read_script(BytesIO(dump_of(site_of(version, tables)))).databases[""],
        kind=SourceKind.DUMP,
        label="site.sql",
        source=source,
    )


def dump_of(tables: Tables) -> bytes:
    """The script, with the tables that have no rows here."""
    empty = {"maasserver_vaultsecret": "path, deleted"}
    more = "".join(_NO_ROWS.format(name, columns) for name, columns in empty.items() if not tables.get(name))
    return script_of(tables) + more.encode()
