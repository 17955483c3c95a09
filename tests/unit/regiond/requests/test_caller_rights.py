"""The one check of what a caller needs, before and after the object is read."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import NotAllowed, NotAuthenticated
from regiond.requests.caller import Caller, Permission, PoolRole, check_object, check_role, visible_pool_ids
from tests.unit.support.api_samples import ADMIN, ZONE
from tests.unit.support.host_samples import HOST
from tests.unit.support.machine_samples import MACHINE

NOBODY = Caller(account_id=3, username="carl", is_admin=False)
VIEWER = evolve(NOBODY, grants={0: PoolRole.VIEWER})
OPERATOR = evolve(NOBODY, grants={0: PoolRole.OPERATOR, 4: PoolRole.VIEWER})
OWN = evolve(MACHINE, owner="carl")


def is_allowed(permission: Permission, caller: Caller, target: object = None) -> bool:
    try:
        check_role(permission, caller)
        check_object(permission, caller, target)
    except NotAllowed:
        return False
    return True


@pytest.mark.parametrize(
    ("permission", "target", "allowed"),
    [
        (Permission.USER, HOST, "nobody viewer operator admin"),  # who may see it is the query's matter
        (Permission.OPERATOR, None, "operator admin"),
        (Permission.OPERATOR, HOST, "operator admin"),
        (Permission.OWNER, None, "operator admin"),
        (Permission.OWNER, MACHINE, "admin"),
        (Permission.OWNER, OWN, "operator admin"),
        (Permission.ADMIN, HOST, "admin"),
    ],
)
def test_each_permission_admits_the_roles_that_it_names(permission: Permission, target: object, allowed: str) -> None:
    callers = {"nobody": NOBODY, "viewer": VIEWER, "operator": OPERATOR, "admin": ADMIN}
    assert [name for name, caller in callers.items() if is_allowed(permission, caller, target)] == allowed.split()


def test_only_what_is_open_admits_an_unsigned_request() -> None:
    check_role(Permission.ANYONE, None)
    check_object(Permission.ANYONE, None, HOST)
    for permission in set(Permission) - {Permission.ANYONE}:
        with pytest.raises(NotAuthenticated):
            check_role(permission, None)
        with pytest.raises(NotAuthenticated):
            check_object(permission, None, HOST)


def test_a_role_counts_only_in_its_own_pool() -> None:
    elsewhere = evolve(HOST, pool=evolve(HOST.pool, id=4, name="lab"))
    with pytest.raises(NotAllowed, match="role operator in the resource pool 'lab'; carl is a viewer there"):
        check_object(Permission.OPERATOR, OPERATOR, elsewhere)
    with pytest.raises(NotAllowed, match="carl has no role there"):
        check_object(Permission.OPERATOR, OPERATOR, evolve(HOST, pool=evolve(HOST.pool, id=5)))
    with pytest.raises(NotAllowed, match="no role there"):
        check_object(Permission.OWNER, OPERATOR, evolve(OWN, pool=evolve(OWN.pool, id=5)))


def test_a_machine_without_owner_belongs_to_who_composed_it() -> None:
    free = evolve(MACHINE, owner=None, composed_by="carl")
    assert free.belongs_to(NOBODY)
    assert not evolve(free, owner="ann").belongs_to(NOBODY)
    assert not evolve(free, composed_by=None).belongs_to(NOBODY)


def test_a_pool_permission_on_an_object_without_pool_is_a_bug() -> None:
    with pytest.raises(TypeError, match="is in no resource pool"):
        check_object(Permission.OPERATOR, OPERATOR, ZONE)


def test_queries_are_restricted_except_for_administrators_and_the_region() -> None:
    assert visible_pool_ids(None) is None
    assert visible_pool_ids(ADMIN) is None
    assert visible_pool_ids(OPERATOR) == [0, 4]
    assert visible_pool_ids(NOBODY) == []
