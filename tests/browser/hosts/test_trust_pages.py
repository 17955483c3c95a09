"""Trust of LXD servers in a browser: in each state the next step is open on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Locator, expect

from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment
    from tests.doubles.lxd_double import FakeLxd, FakeLxds


@pytest.fixture
def lxds(tmp_path: Path) -> FakeLxds:
    """LXD servers that the racks of `innkeeper` reach."""
    from tests.doubles.lxd_double import FakeLxds

    return FakeLxds(tmp_path / "simulated")


@pytest.fixture
def spruce(lxds: FakeLxds) -> FakeLxd:
    from tests.doubles.lxd_double import FakeLxd

    server = FakeLxd(name="spruce")
    lxds.add(server)
    return server


@pytest.fixture
def mira(chromium: Browser, lxds: FakeLxds, innkeeper: Deployment) -> Iterator[Visitor]:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    settle(add_administrator_with_password(innkeeper))
    came = settle(visitor(chromium, innkeeper, "mira"))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


async def add_spruce(mira: Visitor, **fields: str) -> None:
    await mira.go("hosts/add?type=lxd")
    for name, value in {"name": "spruce", "power_address": "spruce:8443", **fields}.items():
        await mira.page.fill(f"#{name}", value)
    await mira.page.get_by_role("button", name="Add host").click()
    await mira.page.wait_for_url("**/hosts/add?step=*&host=1")


async def give(mira: Visitor, way: str, secret: str) -> None:
    await mira.page.get_by_role("navigation", name="Ways to get trust").get_by_role("link", name=way).click()
    await mira.page.fill("#password", secret)
    await mira.page.get_by_role("button", name=f"Use the {way.lower()}").click()


def advice(mira: Visitor) -> Locator:
    return mira.page.locator("#add-advice")


def fingerprints(mira: Visitor) -> Locator:
    return mira.page.locator("#add-server .ik-fingerprint")


async def look_at(mira: Visitor, name: str) -> None:
    """The page has no fault at both widths; its advice is not folded away."""
    await expect(advice(mira).locator(".ik-advice")).to_be_visible()
    for width, dark in ((1400, False), (320, True)):
        assert await mira.look(f"trust-{name}", width=width, dark=dark) == []


async def test_a_secret_before_the_confirmation_says_what_to_do(
    mira: Visitor, spruce: FakeLxd, innkeeper: Deployment
) -> None:
    spruce.secrets.add("sesame")
    await add_spruce(mira)
    await give(mira, "Password", "sesame")
    await expect(advice(mira)).to_contain_text("The password was not sent yet")
    await expect(advice(mira)).to_contain_text("Compare both fingerprints")
    await look_at(mira, "unconfirmed")
    await mira.go("hosts/1/vms")
    await expect(mira.page.locator("#host-notices")).to_contain_text("The password was not sent yet")
    await mira.page.get_by_role("link", name="Compare fingerprints").click()
    assert spruce.seen_secrets == []
    await mira.page.get_by_role("button", name="Both fingerprints are the same").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")
    assert spruce.seen_secrets == ["sesame"]


async def test_a_text_that_is_no_token_is_refused_at_its_field(mira: Visitor, spruce: FakeLxd) -> None:
    mira.expected_statuses.add(422)
    await add_spruce(mira)
    await give(mira, "Token", "eyJjbGllbnRfbmFtZSI6ImlubmtlZX")
    await expect(mira.page.locator("#password-error")).to_contain_text("This is no trust token")
    assert spruce.seen_secrets == []
    await give(mira, "Token", spruce.token())
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")


async def test_a_refused_token_leads_to_a_new_one(mira: Visitor, spruce: FakeLxd) -> None:
    token = spruce.token()
    spruce.secrets.clear()
    await add_spruce(mira, password=token)
    await expect(advice(mira)).to_contain_text("The token was refused")
    await expect(advice(mira)).to_contain_text("Get a new one on the server")
    await look_at(mira, "refused-token")
    await mira.page.fill("#password", spruce.token())  # the way that fits is open
    await mira.page.get_by_role("button", name="Use the token").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")


async def test_a_token_of_another_server_shows_both_fingerprints(mira: Visitor, spruce: FakeLxd) -> None:
    await add_spruce(mira, password=spruce.token(fingerprint="ab" * 32))
    await expect(advice(mira)).to_contain_text("The token is for another server")
    shown = ["".join(text.split()) for text in await fingerprints(mira).all_inner_texts()]
    assert shown == [spruce.fingerprint, "ab" * 32]
    await expect(mira.page.get_by_role("button", name="Both fingerprints are the same")).to_have_count(0)
    await look_at(mira, "other-token")
    await expect(advice(mira).get_by_role("link", name="Change the address")).to_be_visible()
    await mira.page.fill("#password", spruce.token())
    await mira.page.get_by_role("button", name="Use the token").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")


async def test_another_server_than_the_named_one_is_accepted_by_a_person(mira: Visitor, spruce: FakeLxd) -> None:
    await add_spruce(mira, fingerprint="ab" * 32, password=spruce.token())
    await expect(advice(mira)).to_contain_text("is not the one that was named")
    await look_at(mira, "unexpected")
    await mira.page.get_by_role("button", name="Both fingerprints are the same").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")


async def test_a_changed_certificate_is_accepted_with_both_fingerprints_shown(
    mira: Visitor, spruce: FakeLxd, innkeeper: Deployment
) -> None:
    from common.errors import InnkeeperError
    from tests.doubles.lxd_double import FakeLxd

    await add_spruce(mira, password=spruce.token())
    await mira.go("hosts/1/settings")  # the page before would lead to the next step by itself
    before = spruce.fingerprint
    spruce.certificate_pem = FakeLxd(name="new").certificate_pem
    with pytest.raises(InnkeeperError):
        await innkeeper.post("vm-hosts/1/", op="refresh")
    await mira.page.reload()
    shown = await mira.page.locator(".ik-compare .ik-fingerprint").all_inner_texts()
    assert ["".join(text.split()) for text in shown] == [before, spruce.fingerprint]
    await mira.go("hosts/add?step=trust&host=1")
    await expect(advice(mira)).to_contain_text("presents another fingerprint than the pinned one")
    await look_at(mira, "changed")
    await mira.page.get_by_role("button", name="Both fingerprints are the same").click()
    await expect(mira.page.locator("h1")).to_have_text("Accept another certificate of spruce?")
    await mira.page.get_by_role("button", name="Accept the new certificate").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")


async def test_the_settings_ask_with_both_fingerprints_before_they_accept(
    mira: Visitor, spruce: FakeLxd, innkeeper: Deployment
) -> None:
    from common.errors import InnkeeperError
    from tests.doubles.lxd_double import FakeLxd

    page, before = mira.page, spruce.fingerprint
    await add_spruce(mira, password=spruce.token())
    await mira.go("hosts/1/settings")
    spruce.certificate_pem = FakeLxd(name="new").certificate_pem
    with pytest.raises(InnkeeperError):
        await innkeeper.post("vm-hosts/1/", op="refresh")
    await page.reload()
    await page.get_by_role("button", name="Accept the new certificate").click()
    await expect(page.locator("h1")).to_have_text("Accept another certificate of spruce?")
    for fingerprint in (before, spruce.fingerprint):
        await expect(page.locator("#question")).to_contain_text(fingerprint)
    for width, dark in ((1400, False), (320, True)):
        assert await mira.look("trust-accept", width=width, dark=dark, reload=False) == []
    await page.get_by_role("button", name="Accept the new certificate").click()
    await expect(page.locator("#note")).to_contain_text("Saved.")
    assert (await innkeeper.get("vm-hosts/1/"))["state"] == "ready"


async def test_a_host_of_an_earlier_release_says_so_until_its_refresh(
    mira: Visitor, spruce: FakeLxd, innkeeper: Deployment
) -> None:
    await add_spruce(mira)
    await innkeeper.fetch("update vm_host set error_details = null returning id")
    await mira.page.reload()
    await expect(advice(mira)).to_contain_text("Not read since Innkeeper was upgraded")
    await look_at(mira, "earlier-release")
    await advice(mira).get_by_role("button", name="Try now").click()
    await expect(mira.page.locator("#add-waiting")).to_contain_text("Waiting for spruce to trust our certificate")
    await expect(advice(mira)).to_be_empty()
