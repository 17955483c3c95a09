"""The pages about MAAS, and what other pages show of it."""

from __future__ import annotations

from common.operation_kinds import OperationKind
from regiond.api.services import Services
from regiond.maas.services import MaasServices
from regiond.operations.model import Operation
from regiond.ui.extension import Area, Link, PagesExtension
from regiond.ui.machines.details import maas_page
from regiond.ui.settings import maas_import_pages, maas_pages, maas_parallel_pages
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url


async def _servers(services: Services) -> list[str]:
    return [one.name for one in await services.of(MaasServices).maas_servers.list()]


def _import_again(task: Operation) -> Link:
    return (
        page_url(SETTINGS, maas_import_pages.IMPORTS, str(task.request["import"])),
        text("What is here already stays. Another import brings the rest."),
    )


EXTENSION = PagesExtension(
    pages=(*maas_page.PAGES, *maas_pages.PAGES, *maas_import_pages.PAGES, *maas_parallel_pages.PAGES),
    areas=(
        Area(
            name=constant("MAAS servers"),
            segments=maas_pages.PLACE,
            icon="host",
            about=constant("Servers of MAAS that commission and deploy VMs which are registered in them."),
            is_open=True,
        ),
        Area(
            name=constant("Imports from MAAS"),
            segments=(SETTINGS, maas_import_pages.IMPORTS),
            icon="host",
            about=constant("Hosts, VMs, networks and users of a MAAS, which come over while the VMs run."),
        ),
    ),
    lists={
        maas_pages.PLACE: (constant("MAAS server"), (constant("All MAAS servers"), page_url(*maas_pages.PLACE))),
        (SETTINGS, maas_import_pages.IMPORTS): (
            constant("import"),
            (constant("All imports from MAAS"), page_url(SETTINGS, maas_import_pages.IMPORTS)),
        ),
    },
    again={OperationKind.IMPORT: _import_again},
    maas_servers=_servers,
)
