"""Writes every page to which links lead, for an administrator and for an operator. `pages.py` runs this with pytest."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tests.browser.support.crawl import crawl
from tests.browser.support.fleet import PASSWORD, add_fleet, give_password
from tests.browser.support.furnished import furnish
from tests.deployment.deployment import Deployment
from tests.golden.normalised_html import normalised_page
from tests.golden.pages import FOLDER
from tests.integration.pages.test_every_translated_page import STARTS, Reader
from tests.integration.support.web_client import WebClient

OPERATOR = "ann"  # of the default pool, as `furnish` adds her
_ALIKE = {"networks/subnets/3": ("birch", "cedar")}  # they have the same address there, and come in any order
_UNSAFE = re.compile(r"[^\w.,=:@+-]+")


async def test_every_page_is_written(innkeeper: Deployment) -> None:
    await add_fleet(innkeeper)
    admin = await _reader(innkeeper, "mira")
    await furnish(cast("Any", admin), innkeeper)
    await give_password(innkeeper, OPERATOR)
    folder = Path(os.environ[FOLDER])
    for name, reader in {"administrator": admin, "operator": await _reader(innkeeper, OPERATOR)}.items():
        reader.pages.clear()
        await crawl(cast("Any", reader), STARTS)
        names = await _names_of_ids(innkeeper)
        for address, page in reader.pages.items():
            file = folder / name / (_UNSAFE.sub("_", normalised_page(address, names).strip()) + ".html")
            file.parent.mkdir(parents=True, exist_ok=True)
            alike = dict.fromkeys(_ALIKE.get(address, ()), "a-host")
            file.write_text(normalised_page(page, {**names, **alike}), encoding="utf-8")


async def _reader(innkeeper: Deployment, username: str) -> Reader:
    origin = innkeeper.region.api_url.partition("/MAAS")[0]
    reader = Reader(origin, WebClient(urlsplit(origin).port or 0))
    await reader.client.log_in(username, PASSWORD)
    return reader


async def _names_of_ids(innkeeper: Deployment) -> dict[str, str]:
    """The random ids of machines and devices, with their names."""
    found = [*await innkeeper.get("machines/"), *await innkeeper.get("devices/")]
    return {one["system_id"]: f"id-of-{one['hostname']}" for one in found}
