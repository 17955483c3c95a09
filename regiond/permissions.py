"""Permissions that endpoints and RPC commands require of their caller, and the only check of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from common.errors import NotAllowed, NotAuthenticated
from regiond.caller import Caller, PoolRole


class Permission(StrEnum):
    """Who may call an endpoint.

    An object that a caller may not see does not exist for it: reading the object of the path answers 404, whatever the
    permission. OPERATOR and OWNER refer to the resource pool of that object; without an object, to any pool. A device
    on no machine is in no pool: only its owner may change it.
    """

    ANYONE = "anyone"  # unsigned requests too
    USER = "user"  # every account; lists and objects show only what it may see
    OPERATOR = "operator"  # of the object's resource pool; administrators too
    OWNER = "owner"  # of the machine, and operator of its resource pool; administrators too
    ADMIN = "admin"


class _Pool(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


@runtime_checkable
class _InPool(Protocol):
    """A host, machine or cluster, or a device, which can be in no resource pool."""

    @property
    def pool(self) -> _Pool | None: ...


@runtime_checkable
class _Owned(Protocol):
    """A machine."""

    def belongs_to(self, caller: Caller) -> bool: ...


def check_role(permission: Permission, caller: Caller | None) -> None:
    """Raises NotAllowed if the caller may not use this on any object. Called before the object is read.

    `caller` None is the sender of an unsigned request: raises NotAuthenticated unless anyone may use this.
    """
    if permission is Permission.ANYONE:
        return
    if caller is None:
        raise NotAuthenticated("Forbidden")
    if permission is Permission.ADMIN:
        caller.require_admin()
    if permission in {Permission.OPERATOR, Permission.OWNER} and caller.operated_pools == frozenset():
        raise NotAllowed(
            f"This needs the role operator in a resource pool; {caller.username} has none. An administrator can grant "
            f"it: resource-pool grant POOL user={caller.username} role=operator",
            right=PoolRole.OPERATOR.value,
        )


def check_object(permission: Permission, caller: Caller | None, target: Any) -> None:
    """Raises NotAllowed if the caller may not use this on `target`, which it may see; None if there is no object.

    Raises NotAuthenticated like `check_role`.
    """
    if permission is Permission.ANYONE:
        return
    if caller is None:
        raise NotAuthenticated("Forbidden")
    if caller.is_admin or target is None or permission not in {Permission.OPERATOR, Permission.OWNER}:
        return
    if not isinstance(target, _InPool):
        raise TypeError(f"{permission} cannot be checked for a {type(target).__name__}: it is in no resource pool")
    needs_owner = permission is Permission.OWNER or target.pool is None
    if needs_owner and not (isinstance(target, _Owned) and target.belongs_to(caller)):
        raise NotAllowed("Only the machine's owner and administrators may do this.")
    if target.pool is None:
        return
    caller.require_operator(target.pool.id, target.pool.name)
