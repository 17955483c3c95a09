"""A dump and a running MAAS of the same site give the same plan, in a whole deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.errors import InnkeeperError
from innkeeper.maas_import.service import read_dump
from innkeeper.request_body import Body
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import begin, plan
from tests.maas_api.authentication import api_key
from tests.maas_api.server import serving
from tests.maas_api.state import MAAS_4_0, Maas
from tests.maas_site.machines import TRIED, hostname
from tests.maas_site.networks import STORAGE_VLAN
from tests.maas_site.script import script_of
from tests.maas_site.site import site
from tests.maas_site.versions import site_of
from tests.support.rejections import rejection

ADMIN_TOKEN, OPERATOR_TOKEN = 1, 2
# A dump says more of these; the ids of users and tags are names in the API (`test_maas_source.py` has the whole list).
_BY_NAME = {"users", "tags"}
_UNNAMED = f"vlan:{STORAGE_VLAN}"  # a VLAN without a name, for which the API makes one up


async def begun_from(innkeeper: Deployment, url: str, key: str) -> Any:
    body = Body(fields=[("url", url), ("key", key)])
    return (await innkeeper.api.send("POST", "maas-imports/", body=body)).json()


def outline(document: Any) -> dict[str, list[tuple[str, str, str, str]]]:
    """The objects with what becomes of each, without where it was read."""

    def source_id(kind: str, one: Any) -> str:
        return "" if kind in _BY_NAME else str(one["source_id"])

    def name(one: Any) -> str:
        return "" if one["source_id"] == _UNNAMED else str(one["name"])

    return {
        kind: sorted((source_id(kind, one), name(one), one["state"], one["becomes"]) for one in objects)
        for kind, objects in document["objects"].items()
    }


async def test_a_dump_and_a_running_maas_give_the_same_plan(innkeeper: Deployment, tmp_path: Path) -> None:
    tables = site_of("3.7.3", site())
    tables["maasserver_vaultsecret"] = [{"path": "node/1/power-parameters", "deleted": False}]
    path = tmp_path / "site.sql"
    path.write_bytes(script_of(tables))
    of_dump = outline(await plan(innkeeper, await begin(innkeeper, await read_dump(path))))
    maas = Maas()
    with serving(maas) as url:
        begun = await begun_from(innkeeper, url, api_key(maas, ADMIN_TOKEN))
    assert (begun["source"], begun["label"], begun["version"]) == ("api", url, "3.7.3")
    assert begun["counts"]["machines"] == 40
    of_api = outline(await plan(innkeeper, begun))
    # That an account is inactive is not in the API: it becomes one that nobody can use, without password and keys.
    of_api["users"].remove(("", "ines", "new", "user ines"))
    of_dump["users"].remove(("", "ines", "left_out", ""))
    # Nor is it that an address was only tried out: one more is reserved.
    of_api["networks"] = [one for one in of_api["networks"] if one[1] != hostname(TRIED)]
    assert of_api.keys() == of_dump.keys()
    for kind, objects in of_api.items():
        assert objects == of_dump[kind], kind
    assert maas.changes == []


async def test_what_cannot_be_read_is_an_error_and_no_import(innkeeper: Deployment) -> None:
    maas = Maas()
    with serving(maas) as url:

        async def refused(key: str) -> InnkeeperError:
            return await rejection(begun_from(innkeeper, url, key))

        assert "does not accept the API key" in (await refused("a:b:c")).message
        assert "no administrator" in (await refused(api_key(maas, OPERATOR_TOKEN))).message
        maas.release = MAAS_4_0
        assert "--dump FILE" in (await refused(api_key(maas, ADMIN_TOKEN))).message
    assert "the connection is refused" in (await refused(api_key(maas, ADMIN_TOKEN))).message
    assert await innkeeper.get("maas-imports/") == []
