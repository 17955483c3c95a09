"""Pages in a pseudo-language, made from the catalogue: its messages have no Latin letters, so no page has a word."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_fleet
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle
from tests.unit.support.pseudo_language import Pseudo
from tests.unit.support.text_search import Texts

# Names and addresses of the fleet and of its hardware, products, protocols, units, and formats of files.
DATA = re.compile(
    r"\b(Innkeeper|UTC|[MG]iB|[GMT]B|LXD|libvirt|dhcp|CSV|JSON|mira|admin|rack|alder|birch|web-1|db-1|default|local"
    r"|nvme|front|eth\d|sim\d|disk\d|dir|root|network|amd64|foreign-\d+|simulated(:\S+| [\d.]+)?|ik[-\w]+"
    r"|[0-9a-f]{2}(:[0-9a-f]{2}){5})\b"
)


@pytest.fixture
def client(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> WebClient:
    settle(add_fleet(innkeeper))
    monkeypatch.setattr("regiond.ui.texts._ENGLISH", Pseudo())
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


def english_in(page: str) -> list[str]:
    """Returns texts with words that are neither messages nor names of the fleet nor units."""
    found = Texts(page, {"script", "code"}).found
    return [text for text in found if re.search("[A-Za-z]{2}", DATA.sub(" ", text))]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["vms", "vms/{vm}", "hosts/1/vms"])
async def test_no_word_of_a_page_is_outside_the_catalogue(client: WebClient, innkeeper: Deployment, path: str) -> None:
    ids = [one["system_id"] for one in await innkeeper.get("machines/")]
    page = await client.get(f"/MAAS/ui/{path.format(vm=ids[0])}")
    assert page.status == 200
    assert page.text.count("ж") > 200
    found = [one for one in english_in(page.text) if one not in ids]
    assert not found, "\n".join(found)


BULK = ("stop", "off", "restart", "release", "unlock", "place", "tag", "delete")
ANSWERS = (
    *(("vms/bulk", {"action": action, "all": "true"}) for action in BULK),
    *(("vms/{vm}/act", {"action": action}) for action in ("stop", "off", "restart", "broken")),
    ("vms/bulk", {"action": "unlock", "all": "true", "confirmed": "yes"}),
    ("vms/bulk", {"action": "tag", "all": "true", "confirmed": "yes"}),
    ("vms/{vm}/delete", {}),
    ("compose/preview", {"pins": "count", "cores": "1", "memory": "1024", "count": "2"}),
    ("compose", {"action": "add-disk", "cores": "1"}),
)


@pytest.mark.slow
async def test_no_answer_to_a_form_has_another_word(client: WebClient, innkeeper: Deployment) -> None:
    ids = [one["system_id"] for one in await innkeeper.get("machines/")]
    csrf = (await client.get("/MAAS/ui/account")).csrf
    for path, form in ANSWERS:
        answer = await client.post(f"/MAAS/ui/{path.format(vm=ids[0])}", None, csrf=csrf, **form)
        assert answer.status in {200, 422}, (path, form)
        found = [one for one in english_in(answer.text) if one not in ids]
        assert not found, "\n".join([path, str(form), *found])
