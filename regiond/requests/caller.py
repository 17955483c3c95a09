"""The account on whose behalf a request runs, its roles, and the one check of what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from common.errors import NotAllowed, NotAuthenticated


class PoolRole(StrEnum):
    """The role of an account in a resource pool; an operator may do all that a viewer may."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@frozen(kw_only=True)
class Caller:
    """An authenticated account. Every room receives it; this module imports none of them.

    `grants` are its roles by the id of the resource pool. An administrator has every right in every pool. `api_key_id`
    is the key that signed the request; None for RPC clients and commands on the region's computer.
    """

    account_id: int
    username: str
    email: str = ""
    is_admin: bool
    api_key_id: int | None = field(default=None, eq=False)
    grants: Mapping[int, PoolRole] = field(factory=dict, hash=False)

    def require_admin(self) -> None:
        """Raises NotAllowed if the account is not an administrator."""
        if not self.is_admin:
            raise NotAllowed("This method is reserved for admin users.", right="administrator")

    @property
    def visible_pools(self) -> frozenset[int] | None:
        """Returns the resource pools whose objects the account may read; None: all."""
        return None if self.is_admin else frozenset(self.grants)

    @property
    def operated_pools(self) -> frozenset[int] | None:
        """Returns the resource pools in which the account may compose, allocate and act on its machines; None: all."""
        if self.is_admin:
            return None
        return frozenset(pool_id for pool_id, role in self.grants.items() if role is PoolRole.OPERATOR)

    def may_view(self, pool_id: int) -> bool:
        return self.is_admin or pool_id in self.grants

    def may_operate(self, pool_id: int) -> bool:
        return self.is_admin or self.grants.get(pool_id) is PoolRole.OPERATOR

    def require_operator(self, pool_id: int, pool_name: str) -> None:
        """Raises NotAllowed, with the missing role, if the account is no operator of this resource pool."""
        if not self.may_operate(pool_id):
            raise NotAllowed(
                f"This needs the role operator in the resource pool {pool_name!r}; {self.username} "
                f"{'is a viewer there' if pool_id in self.grants else 'has no role there'}. An administrator can "
                f"grant it: resource-pool grant {pool_id} user={self.username} role=operator",
                right=PoolRole.OPERATOR.value,
                pool=pool_name,
                has=PoolRole.VIEWER.value if pool_id in self.grants else "",
            )


def visible_pool_ids(caller: Caller | None) -> list[int] | None:
    """Returns the pools that a query shows to the caller, as its SQL parameter; None: all.

    Without a caller the region itself reads, which sees all.
    """
    visible = None if caller is None else caller.visible_pools
    return None if visible is None else sorted(visible)


def seen_by(caller: Caller | None) -> tuple[list[int] | None, int | None]:
    """Returns two SQL parameters: `visible_pool_ids`, and the caller's account, which sees what is its own besides."""
    return visible_pool_ids(caller), None if caller is None else caller.account_id


class Permission(StrEnum):
    """Says who may call an endpoint or RPC command.

    An object that a caller may not see does not exist for it: reading the object of the path answers 404, whatever the
    permission. OPERATOR and OWNER refer to the resource pool of that object; without an object, to any pool. A device
    on no machine is in no pool: only its owner may change it.
    """

    ANYONE = "anyone"  # unsigned requests too
    USER = "user"  # every account; lists and objects show only what it may see
    OPERATOR = "operator"  # of the object's resource pool; administrators too
    OWNER = "owner"  # of the machine or kept disk, and operator of its resource pool; administrators too
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
    """A machine, a device or a kept disk."""

    def belongs_to(self, caller: Caller) -> bool: ...


@runtime_checkable
class _Explained(Protocol):
    """A machine, or a part of one, that says why it is not the caller's."""

    @property
    def not_yours(self) -> str: ...


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
        known = "Only its owner and administrators may do this."
        raise NotAllowed(target.not_yours if isinstance(target, _Explained) else known)
    if target.pool is None:
        return
    caller.require_operator(target.pool.id, target.pool.name)
