"""The page of an error: the right that is missing, where the list is, what would help."""

from __future__ import annotations

import pytest
from attrs import evolve

from common import errors
from common.errors import InnkeeperError
from regiond.requests.caller import Caller, Permission, PoolRole, check_role
from regiond.ui.pages import PAGES
from regiond.ui.serving.error_help import help_for

ANN = Caller(account_id=2, username="ann", is_admin=False, grants={7: PoolRole.VIEWER})


def refusal_of(caller: Caller, permission: Permission) -> InnkeeperError:
    with pytest.raises(errors.NotAllowed) as refused:
        check_role(permission, caller)
    return refused.value


def test_a_refusal_names_the_missing_right_and_who_gives_it() -> None:
    found = help_for(refusal_of(ANN, Permission.ADMIN), "/MAAS/ui/settings/users", ANN)
    assert (found.needs, found.has) == ("to be an administrator", "a user's rights")
    assert "Another administrator can make ann one" in found.remedy
    assert ("All users", "/MAAS/ui/settings/users") not in found.links  # it would be refused too
    found = help_for(refusal_of(ANN, Permission.OPERATOR), "/MAAS/ui/compose", ANN)
    assert (found.needs, found.has) == ("the role operator in a resource pool", "no role there")
    with pytest.raises(errors.NotAllowed) as refused:
        ANN.require_operator(7, "staging")
    found = help_for(refused.value, "/MAAS/ui/vms/abc", ANN)
    assert found.needs == "the role operator in the resource pool staging"
    assert found.has == "the role viewer there"
    assert "An administrator can grant it to ann" in found.remedy
    with pytest.raises(errors.NotAllowed) as refused:
        evolve(ANN, grants={}).require_operator(7, "staging")
    assert help_for(refused.value, "/MAAS/ui/vms/abc", ANN).has == "no role there"


@pytest.mark.parametrize(
    ("path", "title", "address"),
    [
        ("hosts/418/vms", "No such host", "hosts"),
        ("vms/abc", "No such VM", "vms"),
        ("tasks/99", "No such task", "tasks"),
        ("settings/users/bob", "No such user", "settings/users"),
        ("settings/racks/x", "No such rack", "settings/racks"),
        ("zones/9", "No such zone", "pools"),
        ("networks/subnets/4", "No such network", "networks"),
    ],
)
def test_what_is_not_there_leads_to_its_list(path: str, title: str, address: str) -> None:
    found = help_for(errors.NotFound("There is none."), f"/MAAS/ui/{path}", ANN)
    assert (found.title, found.links[0][1]) == (title, f"/MAAS/ui/{address}")
    assert "may have been removed" in found.remedy


def test_an_unknown_address_is_no_object() -> None:
    found = help_for(errors.NotFound("There is no page."), "/MAAS/ui/nothing", ANN)
    assert (found.title, found.remedy, found.links) == ("No such page", "", (("Overview", "/MAAS/ui/overview"),))


@pytest.mark.parametrize("path", sorted({page.path for page in PAGES if "<" in page.path}))
def test_each_page_of_an_object_has_a_list_to_lead_to(path: str) -> None:
    found = help_for(errors.NotFound("There is none."), f"/MAAS/ui/{path}", ANN)
    assert found.title != "No such page"


def test_other_errors_say_what_would_help_and_lead_back() -> None:
    busy = errors.Busy("Another task acts on web-1.", operation=12)
    found = help_for(busy, "/MAAS/ui/vms/abc/act", ANN)
    assert "Wait until the other task has ended" in found.remedy
    assert [name for name, _ in found.links] == ["Back", "Task #12", "All VMs"]
    assert found.links[0][1] == "/MAAS/ui/vms/abc"
    unreachable = help_for(errors.HostUnreachable("no"), "/MAAS/ui/hosts/4/refresh", ANN)
    assert "a rack of its zone" in unreachable.remedy
