"""Every page of a VM, whoever's it is, with five accounts: who may not act on it is served nothing to act with."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import urlsplit

import pytest

from regiond.machines.core.ownership_rules import may_act, may_allocate, may_delete
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, Permission
from regiond.ui.machines.bulk.bulk_actions import ACTIONS as BULK_ACTIONS
from regiond.ui.machines.machine_actions import ACTIONS as VM_ACTIONS
from regiond.ui.pages import PAGES
from regiond.ui.rendering.page import Page
from tests.browser.support.fleet import PASSWORD, give_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_ownership_matrix import CASES, WHOSE, becomes, begun, callers, facts
from tests.integration.support.two_pools import NATIVE, USERNAMES, Contents, Role, two_pools
from tests.integration.support.web_client import Answer, WebClient

UI = "/MAAS/ui/"
VM = "vms/<system_id>"
STATES = (
    MachineState.READY, MachineState.ALLOCATED, MachineState.DEPLOYING, MachineState.DEPLOYED, MachineState.BROKEN,
    MachineState.MISSING,
)  # fmt: skip
POSTED_IN = 3  # a form is sent in each third state, beginning with another one in each case: together in all states
SOCKETS = (f"{VM}/console/socket", f"{VM}/screen/socket")
LIVE_PARTS = (f"{VM}/console/log", f"{VM}/console/tail")  # of a page that is open: it says that the VM is gone
# The pages that show a VM to everybody who sees it. The others lead to one of these, whoever asks.
SHOWN = {VM + tab for tab in ("", "/network", "/storage", "/tasks", "/events", "/configuration", "/usage")}
LEADS = {f"{VM}/network/<nic>/unlink", f"{VM}/storage/<disk>/adopt", f"{VM}/storage/<disk>/boot"}
# What the forms of the pages ask for, all together; a plan is compared once it is permitted.
FORM = {
    "confirmed": "yes", "typed": "native-machine", "size": "100", "pool": "default", "count": "1",
    "order": "disk", "image": "custom/test", "server": "north", "tags": "x", "cores": "2", "memory": "2048",
    "name": "eth9", "mac_address": "52:54:00:00:00:33", "content": "delete", "new-key": "key", "new-value": "value",
    "distro_series": "custom/test", "description": "x", "hostname": "renamed", "priority": "7", "delay": "7",
}  # fmt: skip
_FORM_OF_PAGE = re.compile(r'<form[^>]*method="post"[^>]*>.*?</form>', re.DOTALL)
_BUTTON = re.compile(r'<button(?![^>]*\bdisabled)[^>]*type="submit"')


def pages_of_vm() -> list[Page]:
    """The pages of one VM. The sockets are added to those of the registry when a region starts."""
    sockets = (Page(path=path, handle=PAGES[0].handle) for path in SOCKETS)
    return [*(one for one in PAGES if one.path.startswith(VM)), *sockets]


def addresses(page: Page, one: Contents) -> list[str]:
    """The address of the page, and those of the questions that it asks."""
    found = page.path
    for name, value in {"system_id": one.system_id, "disk": one.disk_id, "nic": one.nic_id}.items():
        found = found.replace(f"<{name}>", str(value))
    if page.path != f"{VM}/act":
        return [UI + found]
    return [f"{UI}{found}?action={name}" for name, action in VM_ACTIONS.items() if action.asks or page.method == "POST"]


def is_served(page: Page, caller: Caller, machine: MachineView) -> bool:
    """Whether the page is for the caller as the VM is."""
    if page.method == "GET" and page.path in LEADS:
        return True
    if not (caller.may_view(machine.pool.id) or machine.belongs_to(caller)):
        return False
    if page.permission is Permission.ADMIN:
        return caller.is_admin
    if page.method == "GET" and page.path in SHOWN:
        return True
    if page.path == f"{VM}/delete":
        return may_delete(caller, machine)
    allocates = page.path == f"{VM}/deploy" and may_allocate(caller, machine)
    return may_act(caller, machine) or allocates


def offers(answer: Answer) -> bool:
    """Whether the content of the page has a form with a button that can be pressed."""
    content = answer.text.partition("<main")[2]
    return any(_BUTTON.search(form) for form in _FORM_OF_PAGE.findall(content))


def is_refused(page: Page, answer: Answer, machine: MachineView) -> bool:
    """Whether the page is refused, or shows why it cannot be used and has nothing to press."""
    if answer.status in {403, 404}:
        return not offers(answer)
    if page.path in LIVE_PARTS:
        return answer.status == 286 and answer.text.strip().endswith(f"{machine.system_id}&#39;.")
    reasons = (escape(machine.not_yours), "the role operator in the", "Only operators of the resource pool")
    says_why = answer.status == 200 and any(one in answer.text for one in reasons)
    return page.method == "GET" and says_why and not offers(answer)


async def logged_in(innkeeper: Deployment, role: Role) -> tuple[WebClient, str]:
    """A browser of the account of the role, and the token for its forms."""
    await give_password(innkeeper, USERNAMES[role])
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    assert (await client.log_in(USERNAMES[role], PASSWORD)).status == 303
    return client, (await client.get(UI + "overview")).csrf


async def opened(client: WebClient, csrf: str, page: Page, address: str, *, kept: int) -> Answer:
    if page.method == "POST":
        return await client.post(address, None, csrf=csrf, kept_disk=str(kept), **FORM)
    return await client.get(address, Origin=f"http://127.0.0.1:{client.port}")


@pytest.mark.parametrize(("whose", "role"), CASES)
async def test_the_pages_of_a_vm_serve_whom_the_table_says(innkeeper: Deployment, whose: str, role: Role) -> None:
    pools = await two_pools(innkeeper)
    one, caller = pools.contents[NATIVE], (await callers(innkeeper))[role]
    client, csrf = await logged_in(innkeeper, role)
    problems, case = [], CASES.index((whose, role))
    for turn, state in enumerate(STATES, case):
        machine = await becomes(innkeeper, one.system_id, whose, state)
        before = await facts(innkeeper, one.system_id)
        for number, page in enumerate(pages_of_vm(), turn):
            served = is_served(page, caller, machine)
            if page.method == "POST" and (served or number % POSTED_IN):
                continue  # the former: see below
            for address in addresses(page, one):
                answer = await opened(client, csrf, page, address, kept=one.kept_disk_id)
                right = answer.status not in {401, 403, 404, 500} if served else is_refused(page, answer, machine)
                if not right:
                    problems.append(f"{page.method} {address} as {role}, {state}: {answer.status}, {served=}")
        assert await facts(innkeeper, one.system_id) == before
    assert problems == []
    assert await begun(innkeeper, one.system_id) == 0


async def test_the_same_forms_are_taken_from_the_owner(innkeeper: Deployment) -> None:
    """That they are refused to others is not because of what they contain."""
    one = (await two_pools(innkeeper)).contents[NATIVE]
    caller = (await callers(innkeeper))[Role.OPERATOR]
    client, csrf = await logged_in(innkeeper, Role.OPERATOR)
    refused = []
    for page in pages_of_vm():
        machine = await becomes(innkeeper, one.system_id, "olga's", MachineState.ALLOCATED)
        if page.method == "POST" and is_served(page, caller, machine):
            for address in addresses(page, one):
                answer = await opened(client, csrf, page, address, kept=one.kept_disk_id)
                refused += [(address, answer.status)] if answer.status in {401, 403, 404, 500} else []
    assert refused == []
    assert await begun(innkeeper, one.system_id) > 0


@pytest.mark.parametrize("whose", WHOSE)
async def test_a_bulk_page_leaves_what_is_not_yours(innkeeper: Deployment, whose: str) -> None:
    one = (await two_pools(innkeeper)).contents[NATIVE]
    caller = (await callers(innkeeper))[Role.COLLEAGUE]
    client, csrf = await logged_in(innkeeper, Role.COLLEAGUE)
    for state in STATES:
        machine = await becomes(innkeeper, one.system_id, whose, state)
        before = await facts(innkeeper, one.system_id)
        for key, action in BULK_ACTIONS.items():
            sent = {**FORM, "action": key, "typed": "1", "selected": one.system_id}
            answer = await client.post(f"{UI}vms/bulk", None, csrf=csrf, **sent)
            if action.for_admins:
                assert answer.status == 303, key
            elif key != "deploy" or not may_allocate(caller, machine):
                assert answer.status in {200, 422}, (key, state)
                assert "not yours" in answer.text, (key, state)
        assert await facts(innkeeper, one.system_id) == before
    assert await begun(innkeeper, one.system_id) == 0


async def test_a_page_of_all_vms_acts_on_none_of_another_pool(innkeeper: Deployment) -> None:
    """A selection that names it by its id, and one of all that match."""
    one = (await two_pools(innkeeper)).contents[NATIVE]
    client, csrf = await logged_in(innkeeper, Role.ELSEWHERE)
    await becomes(innkeeper, one.system_id, "stock made by olga", MachineState.READY)
    for key in BULK_ACTIONS:
        for selected in ({"selected": one.system_id}, {"all": "1", "query": "q=native"}):
            answer = await client.post(f"{UI}vms/bulk", None, csrf=csrf, action=key, **{**FORM, **selected})
            assert (answer.status, "native" in answer.text) == (303, False), key
    for address in ("vms", "vms/export", "search?q=native", "vms?q=native", f"hosts/{one.host_id}/vms"):
        assert "native-machine" not in (await client.get(UI + address)).text, address
    assert await begun(innkeeper, one.system_id) == 0


async def test_the_pages_of_a_device_serve_the_owner_of_its_vm(innkeeper: Deployment) -> None:
    one = (await two_pools(innkeeper)).contents[NATIVE]
    base = f"{UI}networks/devices/{one.device_system_id}"
    addresses_of_forms = [f"{base}/{form}" for form in ("edit", "delete", "owner-data", "nics/add")]
    for role, status in ((Role.OPERATOR, 200), (Role.COLLEAGUE, 403), (Role.VIEWER, 403), (Role.ELSEWHERE, 404)):
        client, csrf = await logged_in(innkeeper, role)
        shown = await client.get(base)
        assert (shown.status, offers(shown)) == (404 if role is Role.ELSEWHERE else 200, False), role
        for address in addresses_of_forms:
            assert (await client.get(address)).status == status, (role, address)
            if status != 200:
                sent = await client.post(address, None, csrf=csrf, **FORM)
                assert sent.status == status, (role, address)
    assert (await innkeeper.get(f"devices/{one.device_system_id}/"))["hostname"] == "native-device"


async def test_pages_say_whose_a_vm_is_and_who_chooses_an_owner(innkeeper: Deployment) -> None:
    one = (await two_pools(innkeeper)).contents[NATIVE]
    words = {
        "stock made by olga": ("Stock made by you", "Stock"),
        "in use, made by olga": ("In use yours", "In use made by olga"),
        "in use, adopted": ("In use of administrators", "In use of administrators"),
        "olga's": ("olga yours", "olga"),
    }
    for number, role in enumerate((Role.OPERATOR, Role.COLLEAGUE)):
        client, _ = await logged_in(innkeeper, role)
        for whose, expected in words.items():
            await becomes(innkeeper, one.system_id, whose, MachineState.READY)
            page = (await client.get(f"{UI}vms/{one.system_id}/configuration")).text
            shown = re.sub(r"<[^>]+>", "", page.split("<dt>Owner</dt><dd>")[1].partition("</dd>")[0])
            assert " ".join(shown.split()) == expected[number]
        compose = (await client.get(f"{UI}compose")).text
        assert ("stock, start, architecture" in compose, "owner, stock" in compose) == (True, False)
