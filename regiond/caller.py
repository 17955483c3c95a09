"""The account on whose behalf a request runs, and in which resource pools it has a role."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from common.errors import NotAllowed


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
